"""The call under way in this task, for log lines: ids only. Knows nothing of OpenTelemetry."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass(slots=True)
class Current:
    """One call. `noted` grows while it is under way."""

    method: str
    trace_id: str
    span_id: str
    recorded: bool  # whether its spans are kept; metrics are in any case
    noted: dict[str, str | int | bool] = field(default_factory=dict)


CURRENT: ContextVar[Current | None] = ContextVar("pdp_call", default=None)
DECISION_ID = "pdp.decision.id"


def identifiers() -> dict[str, str]:
    """`trace_id`, `span_id` and `decision_id` of the call under way, as far as they are known."""
    current = CURRENT.get()
    if current is None:
        return {}
    found = {"trace_id": current.trace_id, "span_id": current.span_id}
    decision = current.noted.get(DECISION_ID)
    return found if decision is None else {**found, "decision_id": str(decision)}
