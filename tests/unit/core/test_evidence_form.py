"""What counts as evidence at all: exactly what `answer` and `judged` make."""

from __future__ import annotations

from typing import Any

from support.for_each import for_each

from pdp.core.outcome.evidence import Verdict, answer, judged, well_formed

PEOPLE = {"kind": "approval", "id": "r", "code": "r", "stage": 1, "ttl_seconds": 60}
JUDGE = {**PEOPLE, "kind": "judge"}
VERDICT = Verdict("ok", "allow", 0.9, "a" * 64, "model")


@for_each("state", ["met", "refused", "failed"])
def test_answers_of_people(state: Any) -> None:
    assert well_formed(answer(PEOPLE, "c", state, 1))


@for_each(
    "verdict", [VERDICT, Verdict("timeout", None, None, "a" * 64, "m"), Verdict("ok", "escalate", 1, "a" * 64, "m")]
)
def test_verdicts(verdict: Verdict) -> None:
    assert well_formed(judged(JUDGE, "c", verdict, 1))


@for_each(
    "change",
    [
        {"state": "granted"},
        {"state": True},
        {"state": None},
        {"kind": "judge"},
        {"kind": "vote"},
        {"call": None},
        {"expires_ns": "1"},
        {"expires_ns": True},
        {"expires_ns": 1.0},
        {"for": None},
        {"for": {**PEOPLE, "kind": "confirmation"}},
        {"verdict": "allow"},
    ],
)
def test_no_answer_of_people(change: dict[str, Any]) -> None:
    assert not well_formed({**answer(PEOPLE, "c", "met", 1), **change})


@for_each(
    "change",
    [
        {"confidence": "0.9"},
        {"confidence": True},
        {"confidence": 1.1},
        {"confidence": -0.1},
        {"confidence": float("nan")},
        {"verdict": "Allow"},
        {"verdict": True},
        {"status": None},
        {"prompt_sha256": None},
        {"model": 1},
        {"state": "met"},
    ],
)
def test_no_verdict(change: dict[str, Any]) -> None:
    assert not well_formed({**judged(JUDGE, "c", VERDICT, 1), **change})


@for_each("missing", ["for", "call", "kind", "expires_ns", "state"])
def test_nothing_may_be_missing(missing: str) -> None:
    found = dict(answer(PEOPLE, "c", "met", 1))
    del found[missing]
    assert not well_formed(found)
