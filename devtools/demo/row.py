"""One line of the demo's table."""

from __future__ import annotations

from dataclasses import dataclass

from devtools.demo.scenes import Scene
from pdp.client import Decision, Reason

ACT = "approve"  # the effect of a row that is no answer, but what people do


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ok` is whether the answer was the expected one."""

    what: str
    who: str
    call: str
    effect: str
    why: str
    rule: str
    record: str
    ran: str
    ok: bool


def row_of(scene: Scene, decision: Decision, *, ran: str = "-") -> Row:
    """How a scene went. `ran` is whether the call was carried out: "-", "yes" or "failed"."""
    found = next((r for r in decision.reasons if r.code == scene.code), None)
    ok = decision.effect == scene.effect and found is not None and ran in ("-", "yes")
    shown = found or (decision.reasons[0] if decision.reasons else Reason("", "no reason was given"))
    record = str(decision.record.index) if decision.record else "-"
    given = ", ".join(f"{key}={_short(value)}" for key, value in scene.arguments.items())
    call = f"{scene.tool}({given})"
    return Row(scene.title, scene.who.id, call, decision.effect, shown.code, shown.rule, record, ran, ok)


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 12 else f"{text[:9]}..."
