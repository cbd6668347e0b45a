"""An answer is exactly what was asked for, or there is no verdict and the reason is kept."""

from typing import Any

import pytest
from support.judge import NONCE, answer, rendered

from pdp.core.judge.matter import Opinion
from pdp.core.judge.verdict import read_opinion, repairable

ASKED = rendered()


def read(text: str, finish: str = "stop") -> Opinion:
    return read_opinion(text, finish, ASKED, "m-1", tokens_in=900, tokens_out=40, latency_ms=7)


def test_a_good_answer() -> None:
    assert read(answer(verdict="deny", violated=["sends.recipient"], confidence=1, rationale="No.")) == Opinion(
        status="ok",
        verdict="deny",
        confidence=1.0,
        violated=("sends.recipient",),
        rationale="No.",
        model="m-1",
        prompt_sha256=ASKED.prompt_sha256,
        tokens_in=900,
        tokens_out=40,
        latency_ms=7,
    )


@pytest.mark.parametrize("verdict", ["allow", "deny", "escalate"])
def test_three_verdicts(verdict: str) -> None:
    assert read(answer(verdict=verdict)).verdict == verdict


def test_blanks_around_are_no_text() -> None:
    assert read(f"\n {answer()}\n").status == "ok"


MALFORMED: dict[str, Any] = {
    "nothing": "",
    "prose": "I allow this call.",
    "a list": "[1]",
    "a fourth verdict": answer(verdict="approve"),
    "a verdict in capitals": answer(verdict="ALLOW"),
    "a verdict that is a list": answer(verdict=["allow"]),
    "no verdict": answer(verdict=...),
    "no nonce": answer(nonce=...),
    "a nonce that is a number": answer(nonce=3),
    "a further key": answer(reason="x"),
    "confidence above one": answer(confidence=1.01),
    "confidence below zero": answer(confidence=-0.01),
    "confidence as text": answer(confidence="0.9"),
    "confidence as boolean": answer(confidence=True),
    "no confidence": answer(confidence=None),
    "confidence that is no number": answer(confidence=0.5).replace("0.5", "NaN"),
    "a rationale too long": answer(rationale="r" * 281),
    "a rationale that is a list": answer(rationale=["r"]),
    "a rule that is not in the prompt": answer(verdict="deny", violated=["sends.other"]),
    "a rule of a section that was not shown": answer(verdict="deny", violated=["reads.private"]),
    "a rule that is a list": answer(verdict="deny", violated=[["task.unrelated"]]),
    "rules as text": answer(verdict="deny", violated="task.unrelated"),
    "an allow that names a broken rule": answer(violated=["task.unrelated"]),
    "a key twice": answer().replace("{", '{"verdict": "deny", ', 1),
    "a lone surrogate": answer().replace("The task", "\\ud800"),
    "cut off": answer()[:-2],
    "very deep": "[" * 100_000,
    "very long": answer(rationale=" " * 20_000),
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_anything_else_is_no_verdict(text: str) -> None:
    found = read(text)
    assert found.status == "malformed"
    assert (found.verdict, found.confidence, found.violated, found.rationale) == (None, None, (), "")
    assert (found.tokens_in, found.tokens_out, found.latency_ms) == (900, 40, 7)  # paid for all the same
    assert repairable(found)


EXTRA = {
    "before": f"Sure: {answer()}",
    "after": f"{answer()} I hope this helps.",
    "a code fence": f"```json\n{answer()}\n```",
    "two objects": f"{answer()}\n{answer(verdict='deny')}",
    "a list around it": f"[{answer()}]",
    "reasoning": f"<think>{{}}</think>{answer()}",
}


@pytest.mark.parametrize("text", EXTRA.values(), ids=EXTRA)
def test_text_beside_the_object_is_no_verdict(text: str) -> None:
    found = read(text)
    assert (found.status, found.verdict) == ("extra_text", None)
    assert repairable(found)


@pytest.mark.parametrize("nonce", ["", NONCE[:-1], NONCE.upper(), f"{NONCE} ", "0" * 32])
def test_another_nonce_is_no_verdict(nonce: str) -> None:
    found = read(answer(nonce=nonce))
    assert (found.status, found.verdict) == ("nonce", None)
    assert not repairable(found)


@pytest.mark.parametrize(
    ("finish", "status"),
    [
        ("length", "length"),
        ("content_filter", "filtered"),
        ("refusal", "refused"),
        ("tool_calls", "malformed"),
        ("", "malformed"),
    ],
)
def test_an_answer_that_did_not_end_by_itself_is_no_verdict(finish: str, status: str) -> None:
    found = read(answer(), finish)
    assert (found.status, found.verdict) == (status, None)


@pytest.mark.parametrize(
    "status", ["ok", "nonce", "refused", "length", "filtered", "too_large", "timeout", "endpoint"]
)
def test_what_no_second_attempt_mends(status: str) -> None:
    assert not repairable(Opinion(status))


def test_surrogates_in_the_text_are_no_fault() -> None:
    assert read("\ud800").status == "malformed"


def test_a_rule_named_twice_counts_once() -> None:
    assert read(answer(verdict="deny", violated=["task.unrelated"] * 2)).violated == ("task.unrelated",)


def test_nobody_allows_arguments_that_were_cut() -> None:
    asked = rendered(arguments={"text": "word " * 50_000})
    assert asked.cut == ("arguments",)
    found = read_opinion(answer(), "stop", asked, "m-1")
    assert (found.status, found.verdict) == ("too_large", None)
    assert read_opinion(answer(verdict="deny"), "stop", asked, "m-1").verdict == "deny"
    assert read_opinion(answer(verdict="escalate"), "stop", asked, "m-1").verdict == "escalate"


def test_an_observation_that_was_cut_keeps_no_verdict_back() -> None:
    asked = rendered(observation="word " * 50_000)
    assert read_opinion(answer(), "stop", asked, "m-1").verdict == "allow"
