"""Codec of the log's proofs."""

from __future__ import annotations

from pdp.adapters.grpc.codec import fields
from pdp.core.errors import InvalidRequest
from pdp.core.stored import Proof, SignedCheckpoint
from pdp.v1 import audit_pb2, types_pb2

_END = 2**63


def asked(request: audit_pb2.GetProofRequest) -> tuple[str, int, int]:
    """What is to be proved ("index" or "first_size"), its number, and the size of the tree. Raises InvalidRequest."""
    what = request.WhichOneof("what")
    if what is None:
        raise InvalidRequest("what", "is missing; set index or first_size")
    number = request.index if what == "index" else request.first_size
    if number >= _END or request.tree_size >= _END:
        raise InvalidRequest(what, "is beyond every log")
    return what, number, request.tree_size


def inclusion(proof: Proof) -> types_pb2.InclusionProof:
    """The proof that a leaf is in the log."""
    head = proof.head
    return types_pb2.InclusionProof(
        index=proof.number, tree_size=head.size, hashes=proof.hashes, checkpoint=head.note
    )


def consistency(proof: Proof) -> audit_pb2.ConsistencyProof:
    """The proof that a tree extends an earlier one."""
    head = proof.head
    return audit_pb2.ConsistencyProof(
        first_size=proof.number, second_size=head.size, hashes=proof.hashes, checkpoint=head.note
    )


def checkpoint(head: SignedCheckpoint) -> audit_pb2.GetCheckpointResponse:
    """A signed tree head."""
    return audit_pb2.GetCheckpointResponse(
        checkpoint=head.note, tree_size=head.size, root_hash=head.root, signed_at=fields.timestamp(head.at_ns)
    )
