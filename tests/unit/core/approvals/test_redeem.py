"""Whether a request answers for a call now."""

from dataclasses import replace
from typing import Any

import pytest
from support import approvals as make

from pdp.core.approvals.redeem import evidence_state, redeemable
from pdp.core.approvals.rows import Account
from pdp.core.approvals.states import State
from pdp.core.bytes.digest import canonical
from pdp.core.check import NS

APPROVED = make.approval(state=State.APPROVED, version=2)
VOTES = (make.vote("bob"),)
TTL = make.TTL_SECONDS * NS


def stands(request: Any = APPROVED, votes: Any = VOTES, call: Any = None, **fields: Any) -> Any:
    wanted = make.wanted()
    return evidence_state(request, wanted, votes, call or request.call, make.standing(**fields))


def code(request: Any = APPROVED, votes: Any = VOTES, asked: Any = None, wanted: Any = None, **fields: Any) -> str:
    return redeemable(request, votes, wanted or make.wanted(), asked or make.asked(), make.standing(**fields))


def test_an_approved_request_answers_until_it_expires() -> None:
    assert stands() == ("met", APPROVED.expires_ns)
    assert code() == ""


def test_the_stored_state_is_a_hint() -> None:
    for people in (make.directory(), make.directory(make.member("bob", "red", active=False))):
        assert stands(people=people)[0] == "open"
        assert code(people=people) == "approval.reopened"
    assert stands(votes=())[0] == "open"
    assert code(votes=()) == "approval.reopened"


def test_full_seats_alone_do_not_answer() -> None:
    """Only the vote that fills the last seat approves; what is pending is not redeemed."""
    pending = make.approval()
    assert stands(pending)[0] == "open"
    assert code(pending) == "approval.pending"


def test_denials_outweigh_it() -> None:
    votes = (*VOTES, make.vote("ann", "deny", number=11))
    assert stands(votes=votes)[0] == "refused"
    assert code(votes=votes) == "approval.denied"


@pytest.mark.parametrize("state", [State.PENDING, State.APPROVED])
def test_at_the_instant_of_its_expiry_it_is_over(state: Any) -> None:
    request = replace(APPROVED, state=state)
    assert stands(request, at_ns=request.expires_ns) == ("expired", request.expires_ns)
    assert stands(request, at_ns=request.expires_ns - 1)[0] != "expired"
    if state is State.APPROVED:
        assert code(request, at_ns=request.expires_ns) == "approval.expired"
        assert code(request, at_ns=request.expires_ns - 1) == ""


@pytest.mark.parametrize("state", [State.DENIED, State.REVOKED])
def test_a_refusal_holds_for_the_cool_down(state: Any) -> None:
    request = replace(APPROVED, state=state, resolved_ns=make.AT + NS)
    until = make.AT + NS + TTL
    assert stands(request) == ("refused", until)
    assert stands(request, at_ns=until - 1) == ("refused", until)
    assert stands(request, at_ns=until) == ("expired", until)


@pytest.mark.parametrize("state", [State.EXPIRED, State.CANCELLED, State.REDEEMED])
def test_what_is_over_is_no_answer(state: Any) -> None:
    assert stands(replace(APPROVED, state=state, resolved_ns=make.AT))[0] == "expired"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (State.DENIED, "approval.denied"),
        (State.REVOKED, "approval.revoked"),
        (State.CANCELLED, "approval.cancelled"),
        (State.EXPIRED, "approval.expired"),
        (State.REDEEMED, "already_redeemed"),
        (State.PENDING, "approval.pending"),
    ],
)
def test_only_what_is_approved_is_redeemed(state: Any, expected: str) -> None:
    assert code(replace(APPROVED, state=state)) == expected


def test_a_canary_never_answers() -> None:
    canary = replace(APPROVED, canary=True)
    assert stands(canary)[0] == "expired"
    assert code(canary) == "approval.not_found"


@pytest.mark.parametrize(
    "change",
    [
        {"subject": make.account("ann")},
        {"subject": Account("urn:other", "sue")},
        {"actors": ()},
        {"agent": "other"},
        {"caller": "other"},
        {"session": "s-2"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_for_somebody_else_it_does_not_exist(change: Any) -> None:
    """Whatever the digest says."""
    other = make.asked(replace(make.call(), **change))
    assert code(asked=other) == "approval.not_found"
    assert stands(call=other.call)[0] == "expired"


def test_for_another_tenant_it_does_not_exist() -> None:
    assert code(asked=make.asked(tenant="globex")) == "approval.not_found"


@pytest.mark.parametrize("change", [{"server": "x"}, {"tool": "x"}, {"manifest_sha256": "x"}, {"digest": "x"}])
def test_for_another_call_it_is_no_answer(change: Any) -> None:
    other = make.asked(replace(make.call(), **change))
    assert code(asked=other) == "approval.other_call"
    assert stands(call=other.call)[0] == "expired"


def test_other_arguments_are_another_call() -> None:
    assert code(asked=make.asked(arguments={"branch": "other"})) == "approval.other_call"


@pytest.mark.parametrize("change", [{"seats": make.seats(red=2)}, {"deny_quorum": 2}, {"ttl_seconds": 901}])
def test_another_requirement_is_not_answered(change: Any) -> None:
    assert code(wanted=make.wanted(**change)) == "approval.other_requirement"
    unreadable = replace(APPROVED, requirement=canonical(make.element(seats=[])))
    assert code(unreadable) == "approval.other_requirement"
