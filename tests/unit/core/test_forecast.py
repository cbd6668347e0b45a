"""Calls put through requests as the service would open them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from pdp.core.check import NS
from pdp.core.forecast import (
    SUBJECT,
    Forecast,
    GrantTaken,
    RecordedAttempt,
    SettledRequest,
    WantedCall,
    forecast,
    seats_of,
    settled,
    wanted_calls,
)

MINUTE = 60 * NS
TTL = 1800
TWO: dict[str, Any] = {
    "kind": "approval",
    "id": "prod",
    "seats": [{"group_id": "red", "n": 2}, {"group_id": "blue", "n": 1}],
    "ttl_seconds": TTL,
}
ONE: dict[str, Any] = {**TWO, "id": "one", "seats": [{"group_id": "red", "n": 1}], "grant": {"minutes": 60}}
CONFIRM: dict[str, Any] = {"kind": "confirmation", "id": "sure", "ttl_seconds": TTL}
CALL = WantedCall(0, "d", "alice", "s", "a", ((ONE,),))
MET = SettledRequest("one", "met", 5 * MINUTE, spent=True, offered=True)
REFUSED = SettledRequest("one", "refused", 5 * MINUTE, offered=True)
EXPIRED = SettledRequest("one", "expired", TTL * NS, offered=True)


def asked(calls: Sequence[WantedCall], *found: SettledRequest, days: float = 1.0) -> Forecast:
    return forecast(calls, found, days, [lambda: 0.0])


def votes(calls: Sequence[WantedCall], *found: SettledRequest) -> dict[str, float]:
    return {name: group.mean for name, group in asked(calls, *found).groups.items()}


def at(minutes: int, **fields: Any) -> WantedCall:
    return replace(CALL, at_ns=minutes * MINUTE, **fields)


def test_votes_by_seat_and_day() -> None:
    assert seats_of(TWO) == {"red": 2, "blue": 1}
    assert seats_of(CONFIRM) == {SUBJECT: 1}
    assert votes([replace(CALL, stages=((TWO,),))]) == {"red": 2, "blue": 1}
    assert votes([replace(CALL, stages=((CONFIRM,), (ONE,)))]) == {SUBJECT: 1, "red": 1}
    assert asked([CALL], days=2).groups["red"].mean == 0.5
    nothing = asked([replace(CALL, stages=())])
    assert (nothing.groups, nothing.calls, nothing.requests) == ({}, 0, 0)


def test_a_later_stage_is_opened_only_after_the_one_before() -> None:
    assert votes([replace(CALL, stages=((CONFIRM,), (ONE,)))], REFUSED) == {SUBJECT: 1}


def test_identical_calls_take_an_answer_each() -> None:
    assert votes([at(0), at(1)], MET) == {"red": 2}  # the second waits, and asks again
    assert votes([at(0), at(10)], MET) == {"red": 2}
    kept = replace(MET, spent=False)  # nobody came back for the answer
    assert votes([at(0), at(10)], kept) == {"red": 1}
    assert votes([at(0), at(31)], kept) == {"red": 2}  # it has lapsed


def test_a_refusal_holds_for_its_cool_down() -> None:
    assert votes([at(0), at(10), at(34)], REFUSED) == {"red": 1}
    assert votes([at(0), at(36)], REFUSED) == {"red": 2}
    assert votes([at(0), at(1)], REFUSED) == {"red": 1}  # the second waited for the same answer


def test_an_agent_asks_again_as_it_did() -> None:
    def draws(*values: float) -> Forecast:
        rest = list(values)
        again = replace(EXPIRED, again_ns=MINUTE)
        return forecast([CALL], [again, EXPIRED], 1, [lambda: rest.pop(0)])

    assert draws(0.0, 0.9).requests == 2
    assert draws(0.9).requests == 1


def test_like_calls_wait_after_refusals() -> None:
    calls = [at(20 * number, digest=str(number)) for number in range(5)]
    others = [at(10 * number, digest=str(number), asker=str(number)) for number in range(5)]
    assert votes(others, REFUSED) == {"red": 5}
    assert votes([at(6 * number, digest=str(number)) for number in range(5)], REFUSED) == {"red": 4}
    assert votes(calls, REFUSED) == {"red": 5}  # longer than the waits, of five minutes and of ten


@pytest.mark.parametrize(
    ("grant", "expected"),
    [
        (None, 5),
        (GrantTaken(0, 0, session=False, exact=False), 1),
        (GrantTaken(0, 2, session=False, exact=False), 2),
        (GrantTaken(15 * MINUTE, 0, session=False, exact=False), 3),
        (GrantTaken(0, 0, session=True, exact=False), 4),
        (GrantTaken(0, 0, session=False, exact=True), 3),
    ],
)
def test_grants_let_calls_through(grant: GrantTaken | None, expected: int) -> None:
    calls = [at(10 * number, digest=str(number)) for number in range(5)]
    offer = {**ONE, "grant": {"uses": 99}}
    sessions = ("s", "s", "t", "u", "v")
    if grant is not None and grant.session:
        calls = [replace(call, session=name) for call, name in zip(calls, sessions, strict=True)]
    if grant is not None and grant.exact:
        calls = [replace(call, arguments=name) for call, name in zip(calls, "aabbc", strict=True)]
    calls = [replace(call, stages=((offer,),)) for call in calls]
    taken = grant and replace(grant, uses=grant.uses)
    assert votes(calls, replace(MET, grant=taken)) == {"red": expected}
    alone = [replace(call, asker=str(number)) for number, call in enumerate(calls)]
    assert votes(alone, replace(MET, grant=taken)) == {"red": 5}


def test_no_grant_is_wider_than_the_offer() -> None:
    wide = GrantTaken(0, 0, session=False, exact=False)
    calls = [at(50 * number, digest=str(number)) for number in range(3)]
    assert votes(calls, replace(MET, grant=wide)) == {"red": 2}  # an hour from the answer on
    none = [replace(call, stages=(({**ONE, "grant": None},),)) for call in calls]
    assert votes(none, replace(MET, grant=wide)) == {"red": 3}


def test_what_is_asked_again_is_one_call() -> None:
    def attempts(*allowed: tuple[int, bool]) -> list[RecordedAttempt]:
        return [RecordedAttempt(at(minutes), was) for minutes, was in allowed]

    assert len(wanted_calls(attempts((0, False), (5, False), (10, True)))) == 1
    assert len(wanted_calls(attempts((0, True), (5, True), (10, False), (15, False)))) == 3
    assert len(wanted_calls(attempts((0, False), (24 * 60 + 1, False)))) == 2
    other = [*attempts((0, False)), RecordedAttempt(at(1, digest="e"), allowed=False)]
    assert len(wanted_calls(other)) == 2


def opened(name: str, at_ns: int, *, canary: bool = False, digest: str = "d") -> dict[str, Any]:
    request = {"canary": canary, "call": {"digest": digest}}
    base = {"kind": "approval", "event": "opened", "approval_id": name, "at_ns": at_ns}
    return {**base, "request": request, "requirements": [ONE]}


def moved(name: str, event: str, at_ns: int) -> dict[str, Any]:
    return {"kind": "approval", "event": event, "approval_id": name, "at_ns": at_ns}


def issued(name: str, **bounds: Any) -> dict[str, Any]:
    usual = {"approval_id": name, "issued_ns": 0, "expires_ns": 60 * MINUTE, "uses": 3, "session": None}
    return {"kind": "grant", "event": "issued", "grant_id": "g", "bounds": {**usual, **bounds}}


def read(*events: dict[str, Any], until: int = 0) -> tuple[SettledRequest, ...]:
    return settled(events, lambda grant: grant == "exact", until)


def test_requests_as_their_records_tell_of_them() -> None:
    assert read(opened("a", 0)) == ()  # open still
    assert read(opened("a", 0), until=TTL * NS) == (EXPIRED,)
    assert read(opened("a", 0, canary=True), moved("a", "denied", 1)) == ()
    assert read(moved("a", "approved", 1)) == ()  # opened before
    met = read(opened("a", 0), moved("a", "voted", 1), moved("a", "approved", 5 * MINUTE), moved("a", "redeemed", 9))
    assert met == (MET,)
    unspent = read(opened("a", 0), moved("a", "approved", 5 * MINUTE), moved("a", "expired", 9 * MINUTE))
    assert unspent == (replace(MET, spent=False),)
    denied = moved("a", "denied", 5 * MINUTE)
    assert read(opened("a", 0), denied) == (REFUSED,)
    again = read(opened("a", 0), denied, opened("b", 7 * MINUTE))
    assert again == (replace(REFUSED, again_ns=2 * MINUTE),)
    assert read(opened("a", 0), denied, opened("b", 7 * MINUTE, digest="e")) == (REFUSED,)
    granted = read(opened("a", 0), moved("a", "approved", 5 * MINUTE), issued("a"), issued("of another"))
    (found,) = granted
    assert found.grant == GrantTaken(60 * MINUTE, 3, session=False, exact=False)
