"""What may be asked for: a target and what its signed manifest says about it."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.core.check import WORST_COUNT, Check
from pdp.core.digest import Json


@dataclass(frozen=True, slots=True)
class Annotations:
    """Effective behaviour hints: the worst of what the server says and what the reviewer says.

    The defaults are the worst values, and the MCP defaults for hints that are absent.
    """

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True

    def fact(self) -> dict[str, Json]:
        return {
            "read_only": self.read_only,
            "destructive": self.destructive,
            "idempotent": self.idempotent,
            "open_world": self.open_world,
        }


RISKS = ("low", "medium", "high", "critical")  # risk_level is the index plus one


@dataclass(frozen=True, slots=True)
class Sink:
    """Where an argument flows to. `argument` is a JSON Pointer, empty for the tool as a whole."""

    kind: str  # "network" | "email" | "message" | "filesystem" | "process" | "database" | "other"
    argument: str = ""

    def fact(self) -> dict[str, Json]:
        return {"kind": self.kind, "argument": self.argument}


@dataclass(frozen=True, slots=True)
class TargetFact:
    """One thing that may be asked for. Unknown targets hold the worst values."""

    check: Check
    key: str  # "<kind>:<name>", for example "tool:git_status"
    kind: str
    name: str
    server: str
    risk: str = "critical"
    permissions: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # what its results put on a session
    sinks: tuple[Sink, ...] = ()
    annotations: Annotations = field(default_factory=Annotations)
    definition_check: str = "presented"  # "presented" | "watched" | "none"
    schema_open: bool = True
    manifest_sha256: str | None = None
    version: str | None = None
    owner: str | None = None
    cost: int = WORST_COUNT

    def fact(self) -> dict[str, Json]:
        return {
            "status": self.check.status,
            "code": self.check.code,
            "key": self.key,
            "kind": self.kind,
            "name": self.name,
            "server": self.server,
            "risk": self.risk,
            "risk_level": RISKS.index(self.risk) + 1,
            "permissions": list(self.permissions),
            "labels": list(self.labels),
            "sinks": [s.fact() for s in self.sinks],
            "annotations": self.annotations.fact(),
            "definition_check": self.definition_check,
            "schema_open": self.schema_open,
            "manifest_sha256": self.manifest_sha256,
            "version": self.version,
            "owner": self.owner,
            "cost": self.cost,
        }
