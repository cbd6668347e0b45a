"""Who is at the other end, as the transport verified it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import grpc.aio

from pdp.core.request import Peer

Context = grpc.aio.ServicerContext[Any, Any]

# typed properties: in `x509_subject_alternative_name` a DNS name could pass for a URI
_SANS = (("peer_uri", "uri"), ("peer_dns", "dns"), ("peer_email", "email"), ("peer_ip", "ip"))
_AUTHORIZATION = "authorization"
_SURFACE = "pdp-surface"


def peer_of(context: Context) -> Peer:
    """The peer of a call. It never raises: a peer that proves nothing is refused, and recorded, at the entrance.

    Several `authorization` values are joined as HTTP joins them (RFC 9110, 5.2), which no scheme of ours accepts.
    """
    proved = context.auth_context()
    values = [v for k, v in context.invocation_metadata() or () if k == _AUTHORIZATION]
    authorization = ", ".join(v if isinstance(v, str) else v.decode("latin-1") for v in values)
    if next(iter(proved.get("transport_security_type", ())), b"") != b"ssl":
        # the server listens in plaintext nowhere else
        kind = "unix" if context.peer().startswith("unix:") else "loopback"
        return Peer(kind, (), authorization)
    sans = tuple(f"{kind}:{san}" for name, kind in _SANS for san in _texts(proved.get(name, ())))
    return Peer("mtls" if "x509_pem_cert" in proved else "tls", sans, authorization)


def surface_of(context: Context) -> str:
    """By what a person acts, as the client says: for the record, and good for nothing else."""
    said = [v for k, v in context.invocation_metadata() or () if k == _SURFACE]
    return "cli" if said == ["cli"] else "grpc"


def _texts(values: Iterable[bytes]) -> Iterator[str]:
    """The values that are UTF-8; one that is not is nobody's name."""
    for value in values:
        with suppress(UnicodeDecodeError):
            yield value.decode()
