"""The input document of one evaluation (`pdp.input/1`), made from facts at one instant. Total: DESIGN section 4."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.core.facts import Facts

SCHEMA = "pdp.input/1"


def document(
    facts: Facts,
    evidence: tuple[Mapping[str, Json], ...],
    at_ns: int,
    *,
    revision: str,
    packs: tuple[str, ...],
) -> dict[str, Json]:
    """The input document (`pdp.input/1`) for one evaluation at one instant."""
    identity = facts.identity
    return {
        "schema": SCHEMA,
        "phase": facts.phase,
        "time": time_fact(at_ns),
        "policy": {"revision": revision, "packs": list(packs)},
        "caller": facts.caller.fact(),
        "checks": {
            "caller": facts.caller.check.fact(),
            "subject": identity.subject.check.fact(),
            "agent": identity.agent.check.fact(),
            "server": facts.server.check.fact(),
            "switch": facts.switch.fact(),
        },
        "call_checks": {
            "arguments": facts.arguments.check.fact(),
            "session": facts.session.check.fact(),
        },
        "subject": identity.subject.fact(),
        "actors": [a.fact() for a in identity.actors] if identity.subject.check.ok else [],
        "agent": identity.agent.fact(),
        "server": facts.server.fact(),
        "targets": [t.fact() for t in facts.targets],
        "call": {
            "method": facts.method,
            "digest": facts.call_digest,
            "judge_refusals": facts.judge_refusals,
            "unknown_outcomes": facts.unknown_outcomes,
            "people_refusals": facts.people_refusals,
            "people_withdrawals": facts.people_withdrawals,
        },
        "arguments": facts.arguments.fact(),
        "session": facts.session.fact(),
        "consents": [],
        "grants": [],
        "evidence": [dict(e) for e in evidence],
        "judge": {"prompts": dict(facts.judge_prompts)},
        "waivers": [w.fact() for w in facts.waivers],
        "asserted": facts.asserted.fact(),
    }


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_fact(at_ns: int) -> dict[str, Json]:
    """The instant, UTC. `weekday` is ISO (Monday is 1), `minute_of_day` counts from midnight."""
    at = _EPOCH + timedelta(seconds=at_ns // NS)
    return {
        "ns": at_ns,
        "rfc3339": f"{at.isoformat()[:19]}Z",
        "date": at.date().isoformat(),
        "weekday": at.isoweekday(),
        "minute_of_day": at.hour * 60 + at.minute,
    }
