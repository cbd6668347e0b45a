"""Turns: what a call asks takes from each share once, and what is refused takes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.watching import Watch

from pdp.core.call.facts import AgentFact, Identity, SubjectFact
from pdp.core.call.request import Caller
from pdp.core.call.shares import Dimension, FairShare
from pdp.core.check import NS, OK, failed
from pdp.core.errors import ShareExceeded
from pdp.decide.shares import Shares, Turn

GATEWAY, OTHER = (Caller(name, "acme", frozenset(), frozenset({"*"})) for name in ("gateway", "other"))
SHARES = {
    Dimension.TENANT: FairShare(1, 1, 12),
    Dimension.CALLER: FairShare(0.75, 1, 8),
    Dimension.SUBJECT: FairShare(0.5, 1, 4),
    Dimension.SESSION: FairShare(0.25, 1, 2),
}


class Monotonic:
    """A clock that stands until it is moved."""

    ns = 0

    def monotonic_ns(self) -> int:
        return self.ns


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def clock() -> Any:
    return Monotonic()


@pytest.fixture
def shares(clock: Any, watch: Watch) -> Shares:
    return Shares(SHARES, 8, clock, watch.telemetry)


def who(subject: str, issuer: str = "i") -> Identity:
    """A verified subject; "" for none."""
    check = OK if subject else failed("subject.signature", "No.")
    return Identity(SubjectFact(check, id=subject or None, issuer=issuer), AgentFact(OK, id="a"))


def exceeded(turn: Turn, *asked: Any) -> str:
    """Which share a question is beyond, and how; "" for none."""
    try:
        turn.ask(*asked)
    except ShareExceeded as fault:
        dimension = next(each.value for each in Dimension if f" {each} " in fault.message)
        return f"{fault.code} {dimension} {fault.wait_ns / NS:g}"
    return ""


def test_a_session_a_subject_a_caller_and_a_tenant_each_have_a_rate(shares: Shares, clock: Any, watch: Watch) -> None:
    asked: list[tuple[Caller, str, str, int, str]] = [
        (GATEWAY, "alice", "s1", 3, "session"),
        (GATEWAY, "alice", "s2", 3, "subject"),
        (GATEWAY, "alice", "", 1, "subject"),
        (GATEWAY, "bob", "s1", 3, "session"),  # whose session has the same name
        (GATEWAY, "bob", "s2", 3, "caller"),
        (OTHER, "carol", "", 5, "tenant"),
    ]
    for caller, subject, session, count, beyond in asked:
        for _ in range(count):
            with shares.turn() as turn:
                found = exceeded(turn, caller, who(subject), session)
        assert found == f"service.rate {beyond} 1", (subject, session)
    assert {(p["pdp.share"], p["pdp.limit"]): n for p, n in watch.points("pdp.shares.exceeded")} == {
        (each.value, "rate"): 1 + (each is Dimension.SESSION) + (each is Dimension.SUBJECT) for each in Dimension
    }
    clock.ns += NS
    with shares.turn() as turn:
        assert exceeded(turn, GATEWAY, who("alice"), "s1") == ""


def test_sessions_of_two_callers_are_two_whatever_they_are_called(shares: Shares) -> None:
    with shares.turn() as turn:
        said = [exceeded(turn, caller, who("alice"), "s1", n) for n, caller in enumerate((GATEWAY,) * 3 + (OTHER,))]
    assert said == ["", "", "service.rate session 1", ""]


def test_a_refused_question_costs_the_others_nothing(shares: Shares) -> None:
    for _ in range(100):
        with shares.turn() as turn:
            exceeded(turn, GATEWAY, who("alice"), "s1")
    with shares.turn() as turn:
        assert [exceeded(turn, GATEWAY, who("bob"), f"s{n // 2}", n) for n in range(4)] == [""] * 4
        assert exceeded(turn, OTHER, who("carol"), "", 4) == ""


def test_a_question_is_counted_once_and_a_batch_once_for_each(shares: Shares) -> None:
    with shares.turn() as turn:
        for _ in range(20):  # decided again and again
            assert exceeded(turn, GATEWAY, who("alice"), "s1", 0) == ""
        assert exceeded(turn, GATEWAY, who("alice"), "s1", 1) == ""
        assert exceeded(turn, GATEWAY, who("alice"), "s1", 2) == "service.rate session 1"
        assert exceeded(turn, GATEWAY, who("alice"), "s1", 1) == ""


def test_subjects_that_are_not_verified_are_one_of_their_caller(shares: Shares) -> None:
    with shares.turn() as turn:
        for number in range(4):
            assert exceeded(turn, GATEWAY, who(""), f"s{number}", number) == ""
        assert exceeded(turn, GATEWAY, who(""), "another", 4) == "service.rate subject 1"
        assert exceeded(turn, OTHER, who(""), "another", 5) == ""
        assert exceeded(turn, GATEWAY, who("gateway"), "", 6) == ""


def test_an_issuer_cannot_take_the_share_of_anothers_subject(shares: Shares) -> None:
    with shares.turn() as turn:
        for number in range(4):
            turn.ask(GATEWAY, who("alice"), "", number)
        assert exceeded(turn, GATEWAY, who("alice", "j"), "", 4) == ""


def test_places_of_a_session_and_a_subject(clock: Any, watch: Watch) -> None:
    rates = {each: FairShare(share.in_flight, 1_000, 1_000) for each, share in SHARES.items()}
    shares, busy = Shares(rates, 8, clock, watch.telemetry), "service.overloaded"
    with shares.turn() as one, shares.turn() as two, shares.turn() as three, shares.turn() as four:
        assert exceeded(one, GATEWAY, who("alice"), "s1", 0) == ""
        assert exceeded(one, GATEWAY, who("alice"), "s1", 1) == ""  # a batch is one call
        assert exceeded(two, GATEWAY, who("alice"), "s1") == ""
        assert exceeded(three, GATEWAY, who("alice"), "s1") == f"{busy} session 1"
        assert exceeded(three, GATEWAY, who("alice"), "s2") == ""
        assert exceeded(four, GATEWAY, who("alice"), "") == ""
        with shares.turn() as more:
            assert exceeded(more, GATEWAY, who("alice"), "s3") == f"{busy} subject 1"
            assert exceeded(more, GATEWAY, who("bob"), "s3") == ""
    with shares.turn() as turn:  # all of it was given back
        assert [exceeded(turn, GATEWAY, who("alice"), f"s{n}", n) for n in range(4)] == [""] * 4
    assert len(shares._places) == 0
