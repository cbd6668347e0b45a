"""Votes through the service: one commit for all that follows, faults that say what to do, every act recorded."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.approvals import (
    CONFIRMATION,
    CONSENT,
    SECOND,
    approval,
    delegation,
    element,
    person,
    seats,
    shown,
    standing,
)
from support.office import NS, STAFF, TENANT, Office, office
from support.stored import entry

from pdp.core.approvals.directory import Passkey, Person
from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.org_records import delegated
from pdp.core.approvals.records import moved
from pdp.core.approvals.rows import Account, Approval
from pdp.core.approvals.states import Event, State
from pdp.core.approvals.steps import Delegate, Move
from pdp.core.approvals.view import ApprovalView, view
from pdp.core.errors import Conflict, Fault, Forbidden, InvalidRequest, NotFound, Outdated, Overloaded
from pdp.core.record import Stamp
from pdp.core.stored import ReplyRow
from pdp.service.approvals import votes
from pdp.service.approvals.votes import BallotInput, challenge

AWAY = delegation("bob", "cat")


def _delegated(stamp: Stamp) -> bytes:
    return delegated(stamp, AWAY, "h-bob", b"s" * 32)


async def refused(office: Office, who: str | Person, of: Approval, **fields: Any) -> Fault:
    """The fault that an approval ends in; nothing moved."""
    before = office.row(of)
    with pytest.raises(Fault) as caught:
        await office.approve(who, of, **fields)
    assert office.row(of) == before
    return caught.value


async def test_the_last_seat_approves_and_the_record_has_it(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=1, blue=1)))
    first = await office.approve("bob", asked, reason="fine")
    assert (first.approval.state, first.view.tally.filled) == (State.PENDING, (1, 0))
    second = await office.approve("cat", asked)
    assert (second.approval.state, office.row(asked).state) == (State.APPROVED, State.APPROVED)
    voted, approved = office.records("approval")[1:]
    assert (voted["event"], approved["event"]) == ("voted", "approved")
    assert voted["vote"]["human"] == "h-bob"
    assert office.store.record_at(second.record.index).record_id == approved["id"]
    # the reason itself lies beside the log, erasable
    assert "fine" not in json.dumps(office.records())
    assert office.store.value(voted["id"], "reason").data == b'"fine"'


async def test_a_reason_is_demanded_and_bounded(office: Office) -> None:
    asked = await office.open(element(reason_required=True))
    for reason in ("", "  ", "x" * 1001, "a\0b"):
        fault = await refused(office, "bob", asked, reason=reason)
        assert isinstance(fault, InvalidRequest)
        assert fault.field == "reason"
    assert (await office.approve("bob", asked, reason="x" * 1000)).approval.state is State.APPROVED


async def test_who_may_not_vote_is_told_why(office: Office) -> None:
    asked = await office.open()
    fault = await refused(office, "sue", asked)
    assert (type(fault), fault.code) == (Forbidden, "approval.own_call")
    fault = await refused(office, person("sue", account=SECOND, human="h-sue"), asked)
    assert fault.code == "approval.own_call"  # by her other account as well
    fault = await refused(office, person("oz", roles=frozenset({"operate"})), asked)
    assert fault.code == "approval.not_eligible"  # an operator sees it, and has no seat
    for stranger in ("dan", "cat"):
        fault = await refused(office, stranger, asked)
        assert (type(fault), fault.code) == (NotFound, "approval.unknown")


async def test_what_was_not_seen_is_not_approved(office: Office) -> None:
    asked = await office.open()
    for presented in ("", "0" * 64):
        with pytest.raises(Outdated) as caught:
            await office.people.voting.vote(person(), asked.id, BallotInput("", "approve", presented=presented))
        assert caught.value.code == "approval.stale"
    assert office.row(asked).state is State.PENDING


async def test_a_confirmation_is_the_subjects_alone(office: Office) -> None:
    asked = await office.open(CONFIRMATION)
    view = await office.people.queue.get(person("sue"), asked.id)
    with pytest.raises(NotFound):
        await office.people.voting.vote(person("bob"), asked.id, BallotInput("", "approve", presented=view.presented))
    other = person("sue", account=SECOND, human="h-sue")
    assert (await office.approve(other, asked)).approval.state is State.APPROVED


async def test_a_consent_is_not_voted_on(office: Office) -> None:
    asked = await office.open(CONSENT)
    fault = await refused(office, "sue", asked)
    assert (type(fault), fault.code) == (Forbidden, "approval.consent")


async def test_at_the_instant_of_expiry_it_is_over(office: Office) -> None:
    asked = await office.open()
    office.clock.at = asked.expires_ns
    fault = await refused(office, "bob", asked)
    assert (type(fault), fault.code) == (Outdated, "approval.too_late")
    assert (await office.people.queue.get(person(), asked.id)).approval.state is State.EXPIRED


async def test_one_denial_ends_it_and_a_late_one_revokes(office: Office) -> None:
    asked = await office.open()
    assert (await office.deny("ann", asked)).approval.state is State.DENIED
    fault = await refused(office, "bob", asked)
    assert fault.code == "approval.too_late"
    other = await office.open(number=2)
    await office.approve("bob", other)
    assert (await office.deny("ann", other)).approval.state is State.REVOKED


async def test_subject_and_operator_take_back(office: Office) -> None:
    for number, who in ((1, person("sue")), (2, person("oz", roles=frozenset({"operate"})))):
        asked = await office.open(number=number)
        done = await office.people.voting.vote(who, asked.id, BallotInput("", "cancel"))
        assert done.approval.state is State.CANCELLED
    asked = await office.open(number=3)
    with pytest.raises(Forbidden, match="requester or an operator"):
        await office.people.voting.vote(person("bob"), asked.id, BallotInput("", "cancel"))
    with pytest.raises(Forbidden):  # an auditor only looks
        await office.people.voting.vote(
            person("ada", roles=frozenset({"audit"})), asked.id, BallotInput("", "cancel")
        )


async def test_the_same_attempt_gets_the_same_answer(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=2)))
    view = await office.people.queue.get(person("bob"), asked.id)
    given = BallotInput("r-1", "approve", presented=view.presented)
    first = await office.people.voting.vote(person("bob"), asked.id, given)
    await office.approve("ann", asked)
    again = await office.people.voting.vote(person("bob"), asked.id, given)
    assert (again.record, again.approval.state) == (first.record, State.PENDING)  # as it was then
    assert len(office.store.votes(asked.id)) == 2
    with pytest.raises(InvalidRequest) as caught:
        await office.people.voting.vote(person("bob"), asked.id, replace(given, reason="other"))
    assert caught.value.code == "request.reused"
    # the id is the person's own: somebody else may use it too
    assert (await office.people.voting.vote(person("ann"), asked.id, BallotInput("r-1", "deny"))).record.index


async def test_twins_at_once_vote_once(office: Office) -> None:
    asked = await office.open()
    view = await office.people.queue.get(person("bob"), asked.id)
    given = BallotInput("r-1", "approve", presented=view.presented)
    both = await asyncio.gather(*(office.people.voting.vote(person("bob"), asked.id, given) for _ in range(2)))
    assert both[0].record == both[1].record
    assert len(office.store.votes(asked.id)) == 1


async def test_votes_at_once_are_decided_one_after_the_other(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=2)))
    both = await asyncio.gather(*(office.approve(who, asked) for who in ("ann", "bob")))
    assert {done.approval.state for done in both} <= {State.PENDING, State.APPROVED}
    assert office.row(asked).state is State.APPROVED
    assert [r["event"] for r in office.records("approval")] == ["opened", "voted", "approved"]


async def test_a_race_that_is_never_won_ends(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = await office.open()
    tries = 0

    async def overtaken(_entries: object) -> None:
        nonlocal tries
        tries += 1
        raise Conflict("store.conflict", "Somebody was quicker.")

    monkeypatch.setattr(office.recorder, "commit_all", overtaken)
    with pytest.raises(Conflict):
        await office.deny("bob", asked)
    assert tries == 5


async def test_minds_change_only_so_often(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(votes, "MAX_VOTES", 2)
    asked = await office.open(element(seats=seats(red=2), deny_quorum=2))
    await office.approve("bob", asked)
    await office.deny("bob", asked)
    fault = await refused(office, "bob", asked)
    assert (type(fault), fault.code) == (Overloaded, "approval.too_many_votes")


async def test_a_grant_within_the_offer_comes_of_the_vote(office: Office) -> None:
    asked = await office.open(element(grant={"minutes": 30, "uses": 5}))
    for terms in (GrantTerms(31, 5), GrantTerms(30, 6), GrantTerms(30), GrantTerms()):
        fault = await refused(office, "bob", asked, grant=terms)
        assert (type(fault), fault.code) == (InvalidRequest, "approval.grant")
    done = await office.approve("bob", asked, request_id="g", grant=GrantTerms(30, 5))
    found = office.store.grant(TENANT, done.grant_id)
    assert (found.uses, found.expires_ns - found.issued_ns) == (5, 30 * 60 * NS)
    assert [r["kind"] for r in office.records()[-2:]] == ["approval", "grant"]  # one commit, one after the other
    again = await office.people.voting.vote(
        person("bob"),
        asked.id,
        BallotInput("g", "approve", presented=office.store.votes(asked.id)[0].presented, grant=GrantTerms(30, 5)),
    )
    assert again.grant_id == done.grant_id


async def test_a_deputy_votes_in_the_place_of_who_is_away(office: Office) -> None:
    asked = await office.open()
    bob = Account(person("bob").account.issuer, "bob")
    with pytest.raises(NotFound):  # cat has no seat of her own
        await office.approve("cat", asked, behalf=bob)
    await office.commit("delegation", _delegated, Delegate(AWAY))
    done = await office.approve("cat", asked, behalf=bob)
    vote = office.store.votes(asked.id)[0]
    assert (done.approval.state, vote.human, vote.behalf) == (State.APPROVED, "h-cat", "h-bob")


async def test_somebody_without_a_delegation_stands_in_for_nobody(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=1, blue=1)))
    fault = await refused(office, "cat", asked, behalf=person("bob").account)
    assert (type(fault), fault.code) == (Forbidden, "approval.no_delegation")


async def test_claimed_groups_count_while_they_are_seen(office: Office) -> None:
    asked = await office.open(element(seats=seats(claims=1)))
    claimant = person("dan", claimed=frozenset({"claims"}))
    shown = (await office.people.queue.get(person("sue"), asked.id)).presented
    given = BallotInput("", "approve", presented=shown)  # he did not look himself: the vote itself is a sight of him
    assert (await office.people.voting.vote(claimant, asked.id, given)).approval.state is State.APPROVED
    assert office.store.seen(TENANT, (claimant.account,))[claimant.account].groups == ("claims",)
    later = await office.people.queue.get(person("sue"), asked.id)
    assert later.tally.met
    office.clock.at += 25 * 3600 * NS
    stale = await office.people.queue.get(person("sue"), asked.id)
    assert not stale.tally.met


async def test_a_claim_that_is_no_longer_made_no_longer_counts(office: Office) -> None:
    """Whoever voted by a claim, and comes back with a token that claims nothing, is no longer in that group."""
    asked = await office.open(element(seats=seats(claims=1)))
    done = await office.approve(person("cat", claimed=frozenset({"claims"})), asked)
    assert done.view.tally.met
    other = await office.open(element(seats=seats(blue=1)), number=2)
    await office.people.queue.get(person("cat"), other.id)
    assert not (await office.people.queue.get(person("sue"), asked.id)).tally.met


async def test_who_is_disabled_no_longer_counts(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=2)))
    await office.approve("bob", asked)
    office.staff.set(*(replace(m, active=m.id != "h-bob") for m in STAFF))
    done = await office.approve("ann", asked)
    assert (done.approval.state, done.view.tally.lost) == (State.PENDING, (office.store.votes(asked.id)[0].id,))


async def test_a_passkey_is_proved_before_it_counts(tmp_path: Path) -> None:
    class Passkeys:
        def verify(self, who: Person, challenge: bytes, assertion: bytes) -> bool:
            assert (who.human, len(challenge)) == ("h-bob", 32)
            return b"good" in assertion

    async with office(tmp_path, passkeys=Passkeys()) as found:
        keys = (Passkey("other", b"no", "old"), Passkey("good", b"key", "new"))
        found.staff.set(*(replace(m, passkeys=keys if m.id == "h-bob" else ()) for m in STAFF))
        asked = await found.open(element(min_assurance="passkey"))
        fault = await refused(found, "bob", asked)
        assert fault.code == "approval.assurance"
        fault = await refused(found, "bob", asked, passkey=signed(7, by="bad"))
        assert (type(fault), fault.code) == (Forbidden, "person.passkey")
        for unreadable in (b'{"good":1}', b'{"good":1,"id":"k","response":{"authenticatorData":"AAAA"}}'):
            assert (await refused(found, "bob", asked, passkey=unreadable)).code == "person.passkey"
        assert (await found.approve("bob", asked, passkey=signed(7))).approval.state is State.APPROVED
        (vote,) = found.store.votes(asked.id)
        recorded = found.records("approval")[-1]["vote"]["passkey"]
        assert (vote.assurance, vote.passkey.decode()) == ("passkey", recorded)
        assert json.loads(recorded) == {"assertion": signed(7).decode(), "public_key": "a2V5"}


def signed(count: int, by: str = "good") -> bytes:
    """An assertion as the browser has it, of an authenticator that has signed so often."""
    raw = base64.urlsafe_b64encode(bytes(33) + count.to_bytes(4)).rstrip(b"=").decode()
    return json.dumps({"id": by, "response": {"authenticatorData": raw}}).encode()


async def test_a_passkeys_counter_never_stands_still_or_goes_back(tmp_path: Path) -> None:
    """A clone of the authenticator, or an assertion that was used, is refused; some have no counter to show."""

    class Passkeys:
        def verify(self, *_: object) -> bool:
            return True

    async with office(tmp_path, passkeys=Passkeys()) as found:

        async def outcome(number: int, count: int) -> str:
            asked = await found.open(element(min_assurance="passkey"), number=number)
            try:
                return str((await found.approve("bob", asked, passkey=signed(count))).approval.state)
            except Forbidden as fault:
                return fault.code

        counts = (0, 0, 5, 5, 4, 0, 6)
        outcomes = [await outcome(number, count) for number, count in enumerate(counts, 1)]
        refused_ones = [count for count, said in zip(counts, outcomes, strict=True) if said == "person.passkey"]
        assert refused_ones == [5, 4, 0]
        assert outcomes[-1] == "approved"
        assert found.store.sign_count("acme", "good") == 6


def test_a_challenge_is_of_one_request_one_call_and_what_was_shown() -> None:
    known = ready(approval(element(min_assurance="passkey")))
    same = challenge(known)
    assert len(same) == 32
    others = [
        replace(known, approval=replace(known.approval, id="other")),
        replace(known, approval=replace(known.approval, call=replace(known.approval.call, digest="0" * 64))),
        replace(known, presented="other"),
        replace(known, after="a vote"),
    ]
    assert len({same, *map(challenge, others)}) == 5
    assert challenge(replace(known, presented="")) == b""
    assert challenge(ready(approval())) == b""


async def test_an_assertion_counts_once_however_often_one_changes_ones_mind(tmp_path: Path) -> None:
    """Even of an authenticator without a counter: what was signed before is not what is to be signed now."""

    class Passkeys:
        def verify(self, _who: Person, challenge: bytes, assertion: bytes) -> bool:
            asked.append(challenge)
            return json.loads(assertion)["id"] == challenge.hex()

    asked: list[bytes] = []
    async with office(tmp_path, passkeys=Passkeys()) as found:
        request = await found.open(element(min_assurance="passkey", seats=seats(red=2)))
        await refused(found, "bob", request, passkey=signed(0))
        first = signed(0, by=asked[-1].hex())
        await found.approve("bob", request, passkey=first)
        await found.people.voting.vote(person("bob"), request.id, BallotInput("", "deny"))
        again = await found.open(element(min_assurance="passkey", seats=seats(red=2), deny_quorum=2), number=2)
        await refused(found, "bob", again, passkey=first)  # nor for another request
        await found.approve("bob", again, passkey=(mine := signed(0, by=asked[-1].hex())))
        await found.deny("bob", again)
        assert (await refused(found, "bob", again, passkey=mine)).code == "person.passkey"
        await found.approve("bob", again, passkey=signed(0, by=asked[-1].hex()))


def ready(of: Approval) -> ApprovalView:
    """The request as bob sees it."""
    found = view(of, shown(of), (), person("bob"), standing())
    assert found is not None
    return found


async def test_without_a_verifier_no_passkey_counts(office: Office) -> None:
    asked = await office.open(element(min_assurance="passkey"))
    assert (await refused(office, "bob", asked, passkey=signed(7))).code == "person.passkey"


async def test_another_tenant_has_another_world(office: Office) -> None:
    asked = await office.open()
    stranger = replace(person("bob"), tenant="other")
    with pytest.raises(NotFound) as caught:
        await office.people.voting.vote(stranger, asked.id, BallotInput("", "deny"))
    with pytest.raises(NotFound) as unknown:
        await office.people.voting.vote(person("bob"), "no-such-id", BallotInput("", "deny"))
    assert (caught.value.code, caught.value.message) == (unknown.value.code, unknown.value.message)


async def test_an_erased_request_can_be_denied_only(office: Office) -> None:
    asked = await office.open()
    await office.store.erase_subject(TENANT, asked.subject_index)
    view = await office.people.queue.get(person("bob"), asked.id)
    assert (view.shown, view.rows, view.presented) == (None, (), "")
    fault = await refused(office, "bob", asked)
    assert (type(fault), fault.code) == (Outdated, "approval.erased")
    assert (await office.deny("bob", asked)).approval.state is State.DENIED


async def test_a_redeemed_one_is_too_late_to_take_back(office: Office) -> None:
    asked = await office.open()
    await office.approve("bob", asked)
    row = office.row(asked)
    move = Move(row.id, row.version, Event.REDEEM, office.clock.at, redemption_id="r", call_id="c")
    await office.commit("approval", lambda stamp: moved(stamp, row, move), move)
    with pytest.raises(Outdated, match="no longer open"):
        await office.people.voting.vote(person("sue"), asked.id, BallotInput("", "cancel"))


async def test_a_vote_that_another_release_answered_in_another_shape_is_not_told_again(office: Office) -> None:
    asked, who = await office.open(element()), person("bob")
    given = BallotInput("again", "deny")
    attempt = office.people.voting._attempts.attempt("vote", who, "again", *given.content(asked.id))
    assert attempt is not None
    for number, kept in enumerate((b"{}", b'["id"]', b'["id","","denied",1,"approval.denied","more"]'), 1):
        row = ReplyRow(attempt.key, attempt.content, "people", "", kept, "", 0, office.clock.at)
        await office.store.commit(entry(number, reply=row))
        with pytest.raises(InvalidRequest) as e:
            await office.people.voting.vote(who, asked.id, given)
        assert e.value.code == "request.reused"
