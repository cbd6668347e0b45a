"""Which recorded requirements count as calls that people were asked about."""

from __future__ import annotations

from typing import Any

from pdp.core.bytes.digest import canonical
from pdp.decide.comparison import ComparedCall
from pdp.tools.authoring.policy_change import _people_of


def wants(kind: str, name: str) -> dict[str, Any]:
    return {"kind": kind, "id": name}


def test_open_requirements_and_answers_for_one_call_count_and_a_standing_consent_does_not() -> None:
    evidence = [
        {"kind": kind, "for": wants(kind, f"{kind}.answered")}
        for kind in ("approval", "confirmation", "consent", "judge")
    ]
    record = {"requirements": [wants("consent", "consent.open"), wants("judge", "judge.open")]}
    people = _people_of(ComparedCall(record, canonical({"evidence": evidence})))
    assert people.keys() == {"consent.open", "approval.answered", "confirmation.answered"}
