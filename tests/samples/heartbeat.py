"""A sample feature within a section that stands already: it beats as `audit.heartbeat` says."""

from __future__ import annotations

from pdp.core.ports.telemetry import Telemetry
from pdp.host.feature import Feature, Ports
from pdp.host.part import Part
from pdp.proof.options import AuditOptions


def _wire(options: AuditOptions, _ports: Ports) -> Part | None:
    beats = list[None]()

    async def beat() -> None:
        beats.append(None)

    def level(telemetry: Telemetry, _at_ns: int) -> None:
        telemetry.level("pdp.heartbeat", len(beats))

    on: bool = getattr(options, "heartbeat", False)
    return Part("heartbeat", chore=beat, ready=lambda: bool(beats), level=level) if on else None


FEATURE = Feature("heartbeat", AuditOptions, wire=_wire)
