"""Sightings: what a watcher saw a server list, signed by the watcher's key (`pdp.sighting/1`).

A sighting is how a definition that no caller shows is still known to be current. It is one DSSE envelope in a file
of its own, `<server>.sighting.json`; what counts is the signed time and content, never the file's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, ValidationError

from pdp.core.check import NS, OK, Check, failed
from pdp.core.digest import Json, canonical, digest
from pdp.core.errors import InvalidRequest, RegistryFault
from pdp.core.strict_json import parse_object
from pdp.registry import dsse
from pdp.registry.keys import SignerKey
from pdp.registry.manifest import Closed, Digest, Name, ServerId, first_problem, without_meta
from pdp.registry.times import RFC3339, parse_ns, render

SIGHTING_TYPE = "application/vnd.pdp.sighting+json"
SIGHTING_SCHEMA = "pdp.sighting/1"
MAX_BYTES = 4 * 1024 * 1024
MAX_TOOLS = 10_000
SKEW_NS = 30 * NS  # how far a watcher's clock may be ahead of ours

ToolName = Annotated[str, Field(min_length=1, max_length=1024)]

_UNWATCHED = failed(
    "tool.unwatched",
    "Nobody has seen the tool's definition lately, so it is not known to be current; run `pdp tools watch`.",
)
_DRIFTED = failed(
    "tool.drifted",
    "A watcher saw another definition than the pinned one; have the change reviewed, pinned and signed.",
)


class Sighting(Closed):
    """All tools of one server at one instant: digests of their definitions, without `_meta`, by name."""

    schema_: Literal["pdp.sighting/1"] = Field(alias="schema")
    tenant: Name
    server: ServerId
    seen: RFC3339
    tools: Annotated[dict[ToolName, Digest], Field(max_length=MAX_TOOLS)]

    @property
    def seen_ns(self) -> int:
        return parse_ns(self.seen)


def file_of(server: str) -> str:
    """Where a server's sighting lies, in the watcher's folder."""
    return f"{server}.sighting.json"


def sighting_of(tenant: str, server: str, definitions: Sequence[Mapping[str, Json]], at_ns: int) -> Sighting:
    """What was seen at `at_ns`, rounded down to the second. Raises RegistryFault `watch.malformed`."""
    found = {str(definition["name"]): digest(without_meta(definition)) for definition in definitions}
    try:
        return Sighting.model_validate(
            {"schema": SIGHTING_SCHEMA, "tenant": tenant, "server": server, "seen": render(at_ns), "tools": found}
        )
    except ValidationError as error:
        raise RegistryFault(
            "watch.malformed", f"sighting: {first_problem(error)}; the server must be corrected"
        ) from None


def seal(sighting: Sighting, key: Ed25519PrivateKey) -> bytes:
    """The signed file. Raises RegistryFault `watch.malformed` for one that nobody would read."""
    payload = canonical(sighting.model_dump(mode="json", by_alias=True))
    if len(payload) > MAX_BYTES:
        raise RegistryFault("watch.malformed", "the server lists too many or too long names; it must be corrected")
    return dsse.encode(dsse.Envelope(SIGHTING_TYPE, payload, (dsse.sign(SIGHTING_TYPE, payload, key),)))


def unseal(raw: bytes, key: SignerKey) -> Sighting:
    """Read a file that `key` signed. Raises RegistryFault `watch.malformed`, `watch.unsigned`."""
    try:
        envelope = dsse.parse(raw)
    except RegistryFault as fault:
        raise RegistryFault("watch.malformed", fault.message) from None
    if envelope.payload_type != SIGHTING_TYPE or not dsse.signed_by(envelope, (key,)):
        raise RegistryFault("watch.unsigned", "the sighting is not signed by the watcher's configured key")
    try:
        value, _ = parse_object(envelope.payload, "sighting", max_bytes=MAX_BYTES)
        return Sighting.model_validate(value)
    except InvalidRequest as error:
        raise RegistryFault("watch.malformed", error.message) from None
    except ValidationError as error:
        raise RegistryFault("watch.malformed", f"sighting: {first_problem(error)}") from None


@dataclass(frozen=True, slots=True)
class Sightings:
    """What was last seen, by (tenant, server); one sighting per watcher. Immutable."""

    max_age_ns: int = 0
    last: Mapping[tuple[str, str], tuple[Sighting, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def check(self, tenant: str, server: str, name: str, definition_sha256: str, at_ns: int) -> Check:
        """Whether somebody has lately seen this definition, and nobody another: `tool.unwatched`, `tool.drifted`.

        A tool that the server no longer lists has drifted. Watchers that disagree leave it drifted: a server that
        shows different things to different people is not what was pinned."""
        fresh = [s for s in self.last.get((tenant, server), ()) if self._is_fresh(s, at_ns)]
        if not fresh:
            return _UNWATCHED
        return OK if all(s.tools.get(name) == definition_sha256 for s in fresh) else _DRIFTED

    def _is_fresh(self, sighting: Sighting, at_ns: int) -> bool:
        return -SKEW_NS <= at_ns - sighting.seen_ns <= self.max_age_ns
