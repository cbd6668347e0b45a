"""Values of the signed documents: a pinned tool, the pins of a tenant, and changes to be recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pdp.core.bytes.digest import Json
from pdp.core.call.effects import PermittedEffect
from pdp.core.call.facts import Waiver
from pdp.core.check import OK, Check
from pdp.core.record.artefact import Artefact
from pdp.core.tables import tables

SINKS: Mapping[str, Mapping[str, str]] = tables(__file__, "sinks.toml")
"""By kind of sink: what a tool `does` by it, and where its arguments go `to`."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """What reads an argument: a shell, a database, a file system. Its kind is a key of `content.guards.codes.CODES`;
    `argument` is a JSON Pointer (RFC 6901), whatever lies below it included. `effects` are those that the manifest
    permits the tool, for a guard that knows them (`knows_effects`)."""

    kind: str
    argument: str
    effects: tuple[PermittedEffect, ...] = ()


@dataclass(frozen=True, slots=True)
class PinnedTool:
    """The part of one verified manifest that the service uses. `definition` is rebuilt for a model: of a tool only
    name, title, description, inputSchema, outputSchema, annotations."""

    server: str
    name: str
    manifest_sha256: str
    input_schema: Mapping[str, Json]
    definition: Mapping[str, Json]
    interpreters: tuple[Interpreter, ...] = ()
    effects: tuple[PermittedEffect, ...] = ()  # what it may do beside its answer

    @property
    def begun(self) -> PinnedTool:
        """The same for arguments of which some are not there yet: a completion's. Compiled schemas are kept by
        `manifest_sha256`, so it is another one."""
        schema = {name: value for name, value in self.input_schema.items() if name != "required"}
        return replace(self, input_schema=schema, manifest_sha256=f"{self.manifest_sha256}.begun")


@dataclass(frozen=True, slots=True)
class RegistryPins:
    """What a tenant's answers rest on. The defaults are those of a tenant of which nothing is loaded."""

    serial: int = 0  # of its set
    # SHA-256 (hex) over what its answers depend on: verified set index and waivers, manifests that do not verify,
    # whether the set is stale or expired
    digest: str = ""
    marks: tuple[tuple[str, int], ...] = ()  # high-water marks: an answer is void once one of them is higher
    waivers: tuple[Waiver, ...] = ()  # signed, by id, expired ones included (policy compares the instant)


@dataclass(frozen=True, slots=True)
class RegistryChange:
    """One change of a tenant's loaded registry, for its record. The commit of the record also moves the
    high-water mark `registry.<tenant>` to `serial`, so that a serial never goes back, restarts included."""

    tenant: str
    serial: int
    digest: str
    loaded: int  # tools that verify
    refused: tuple[tuple[str, str], ...]  # (server/name, code)
    problem: str = ""  # code, when the new set was refused and the last good one stays
    marks: tuple[tuple[str, int], ...] = ()  # high-water marks to commit with the record
    artefacts: tuple[Artefact, ...] = ()  # what `digest` covers, and the signed payloads it names; kept for replay
    detail: str = ""  # what is wrong with a new set, for operators


# Whether what was read of a part, known by its SHA-256, may be used. Parts are `policy`, `org`, `prompts` and
# `directory.<tenant>`.
Admits: TypeAlias = Callable[[str, str], Check]


def admitted(admits: Admits | None, part: str, sha256: str) -> Check:
    """The answer of `admits`; without it nothing has to be released."""
    return OK if admits is None else admits(part, sha256)


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """Another release of policy is about to be in force, or the newest file was refused for `problem` (a code). The
    commit of its record moves the high-water marks."""

    serial: int = 0  # of the release in force; 0: none
    digest: str = ""  # SHA-256 of what was signed
    rolls_back_to: int | None = None  # the serial whose parts are in force again
    parts: Mapping[str, str] = field(default_factory=dict)  # SHA-256 by part
    signers: tuple[str, ...] = ()  # role and id of the keys that signed it
    expires_ns: int = 0
    problem: str = ""
    message: str = ""  # of the problem, for an operator
    marks: tuple[tuple[str, int], ...] = ()
    artefacts: tuple[Artefact, ...] = ()  # what was signed
