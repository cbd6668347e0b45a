"""Signed statements about findings (`pdp.acceptances/1`): risks that an owner accepts, facts that no system shows.

Author and reviewer sign them like the tools' registry, with the same keys, n of m. A statement is about one finding
in its exact words: where the finding becomes another, say of one more server, it counts no longer.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError, model_validator

from pdp.checklist.checks import CheckFinding, CheckStatus
from pdp.core.digest import canonical, sha256_hex
from pdp.core.errors import InvalidRequest, RegistryFault
from pdp.core.strict_json import parse_object
from pdp.registry import dsse
from pdp.registry.draft import load_envelope, write_file
from pdp.registry.keys import KeySet, SignerKey
from pdp.registry.manifest import RFC3339, Closed, Name, Word, first_problem, parse_ns, render
from pdp.registry.review import load_yaml
from pdp.registry.sign import SigningTerm

SCHEMA = "pdp.acceptances/1"
PAYLOAD_TYPE = "application/vnd.pdp.acceptances+json"
FILE = "acceptances.dsse.json"
_MAX_BYTES = 1_048_576
_OPEN = {CheckStatus.FAIL, CheckStatus.UNKNOWN}


class AcceptanceEntry(Closed):
    """One statement. `accepted`: the owner bears the risk until then. `shown`: what no system shows is so, as the
    reason says; it answers nothing that fails."""

    id: Name
    check: Word
    finding: Annotated[str, Field(pattern=r"^[0-9a-f]{20}$")]
    says: Literal["accepted", "shown"]
    owner: Word
    reason: Annotated[str, Field(min_length=1, max_length=2048)]
    expires: RFC3339


class AcceptanceSet(Closed):
    """All statements of a system."""

    schema_: Literal["pdp.acceptances/1"] = Field(alias="schema")
    issued: RFC3339
    expires: RFC3339
    acceptances: list[AcceptanceEntry]

    @cached_property
    def expires_ns(self) -> int:
        return parse_ns(self.expires)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.expires_ns <= parse_ns(self.issued):
            raise ValueError("expires is not after issued")
        for name in ("id", "finding"):
            values = [getattr(entry, name) for entry in self.acceptances]
            if len(values) != len(set(values)):
                raise ValueError(f"acceptances has the same {name} twice")
        return self

    def encoded(self) -> bytes:
        """Canonical bytes: what is signed."""
        return canonical(self.model_dump(mode="json", by_alias=True))


@dataclass(frozen=True, slots=True)
class SignedAcceptances:
    """Verified statements, and the digest of what was signed."""

    entries: tuple[AcceptanceEntry, ...] = ()
    expires_ns: int = 0
    sha256: str = ""

    def applied(self, check: str, finding: CheckFinding, at_ns: int) -> CheckFinding:
        """The finding, or what a statement makes of it."""
        entry = next((each for each in self.entries if (each.check, each.finding) == (check, finding.id)), None)
        if entry is None or finding.status not in _OPEN:
            return finding
        if at_ns >= min(self.expires_ns, parse_ns(entry.expires)):
            return replace(finding, evidence=(*finding.evidence, f"signed statement {entry.id}, expired"))
        words = f"{entry.reason} ({entry.id} of {entry.owner}, signed by author and reviewer, until {entry.expires})"
        rests_on = (*finding.evidence, f"signed statement {entry.id}")
        if entry.says == "accepted":
            why = f"{finding.why}; accepted: {words}"
            return replace(finding, status=CheckStatus.ACCEPTED, why=why, evidence=rests_on)
        if finding.status is CheckStatus.UNKNOWN:
            return replace(finding, status=CheckStatus.PASS, why=f"stated: {words}", evidence=rests_on, mend="")
        return replace(
            finding, evidence=(*finding.evidence, f"signed statement {entry.id}, but what fails is not shown")
        )

    def idle(self, findings: AbstractSet[tuple[str, str]]) -> list[str]:
        """Ids of the statements about none of these findings, each by check and id."""
        return [entry.id for entry in self.entries if (entry.check, entry.finding) not in findings]


def load(path: Path, keys: KeySet) -> SignedAcceptances:
    """Statements that enough keys have signed. Raises RegistryFault (`registry.unsigned`, `registry.malformed`,
    `acceptances.unreadable`)."""
    try:
        with path.open("rb") as file:
            raw = file.read(dsse.MAX_ENVELOPE + 1)
    except OSError as error:
        raise RegistryFault(
            "acceptances.unreadable", f"{path.name}: cannot be read; check the path", detail=repr(error)
        ) from None
    verified = dsse.verify(raw, PAYLOAD_TYPE, keys)
    document = _decoded(verified.payload, path.name)
    return SignedAcceptances(tuple(document.acceptances), document.expires_ns, sha256_hex(verified.payload))


def sign(draft: Path, key: Ed25519PrivateKey, term: SigningTerm) -> tuple[AcceptanceSet, int]:
    """Sign `draft` ({acceptances: [{id, check, finding, says, owner, reason, expires}]}) into `FILE` beside it, or
    add a signature where that holds the same; the first signature fixes the dates. Returns the document and how many
    have signed. Raises RegistryFault."""
    content = load_yaml(draft, "acceptances.malformed")
    out = draft.parent / FILE
    envelope = load_envelope(draft.parent, FILE)
    if envelope is not None:
        current, wanted = _decoded(envelope.payload, FILE), _dated(content, draft.name, term)
        if current.acceptances == wanted.acceptances and term.at_ns < current.expires_ns:
            mine = SignerKey("mine", "author", key.public_key())
            signatures = envelope.signatures
            if not dsse.signed_by(envelope, (mine,)):
                signatures = (*signatures, dsse.sign(PAYLOAD_TYPE, envelope.payload, key))
                write_file(out, dsse.encode(dsse.Envelope(PAYLOAD_TYPE, envelope.payload, signatures)))
            return current, len(signatures)
    document = _dated(content, draft.name, term)
    payload = document.encoded()
    write_file(out, dsse.encode(dsse.Envelope(PAYLOAD_TYPE, payload, (dsse.sign(PAYLOAD_TYPE, payload, key),))))
    return document, 1


def _dated(content: Any, name: str, term: SigningTerm) -> AcceptanceSet:
    if set(content) != {"acceptances"}:
        raise RegistryFault("acceptances.malformed", f"{name}: holds other keys than `acceptances`; remove them")
    dates = {"issued": render(term.at_ns), "expires": render(term.at_ns + term.lifetime_ns)}
    try:
        return AcceptanceSet.model_validate({"schema": SCHEMA, **dates, **content})
    except ValidationError as error:
        raise RegistryFault(
            "acceptances.malformed", f"{name}: {first_problem(error)}; see docs/checklist.md"
        ) from None


def _decoded(payload: bytes, name: str) -> AcceptanceSet:
    try:
        value, _ = parse_object(payload, name, max_bytes=_MAX_BYTES)
        return AcceptanceSet.model_validate(value)
    except InvalidRequest as error:
        raise RegistryFault("registry.malformed", f"{error.message}; sign it again") from None
    except ValidationError as error:
        raise RegistryFault("registry.malformed", f"{name}: {first_problem(error)}; sign it again") from None
