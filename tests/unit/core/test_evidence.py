"""Evidence is for one requirement, whole, and for one call."""

from typing import Any

from support.for_each import for_each

from pdp.core.outcome.evidence import Verdict, answer, judged

REQUIREMENT = {"kind": "approval", "id": "a", "pack": "acme", "seats": [{"group_id": "g", "n": 2}]}


@for_each("state", ["met", "refused", "failed"])
def test_an_answer_by_people(state: Any) -> None:
    assert answer(REQUIREMENT, "d1", state, 5) == {
        "for": REQUIREMENT,
        "call": "d1",
        "kind": "approval",
        "state": state,
        "expires_ns": 5,
    }


def test_a_judge_has_a_verdict_and_never_a_state() -> None:
    found = judged({**REQUIREMENT, "kind": "judge"}, "d1", Verdict("ok", "allow", 0.9, "11", "m"), 5)
    assert found == {
        "for": {**REQUIREMENT, "kind": "judge"},
        "call": "d1",
        "kind": "judge",
        "status": "ok",
        "verdict": "allow",
        "confidence": 0.9,
        "prompt_sha256": "11",
        "model": "m",
        "expires_ns": 5,
    }


def test_a_judge_that_said_nothing() -> None:
    found = judged(REQUIREMENT, "d1", Verdict("timeout", None, None, "11", "m"), 5)
    assert (found["status"], found["verdict"], found["confidence"]) == ("timeout", None, None)


def test_a_later_change_of_the_requirement_does_not_reach_the_evidence() -> None:
    wanted = dict(REQUIREMENT)
    found = answer(wanted, "d1", "met", 5)
    wanted["id"] = "other"
    assert found["for"] == REQUIREMENT
