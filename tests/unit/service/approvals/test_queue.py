"""The queue: who sees what, in pages, and each look at one request recorded."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest
from support.approvals import (
    CONFIRMATION,
    CONSENT,
    SECOND,
    account,
    call,
    delegation,
    element,
    member,
    person,
    seats,
)
from support.office import NS, TENANT, Office

from pdp.core.approvals.directory import Person
from pdp.core.approvals.org_records import delegated
from pdp.core.approvals.queries import Page
from pdp.core.approvals.records import moved
from pdp.core.approvals.records import outcome as noted
from pdp.core.approvals.rows import Approval, Outcome, Shown
from pdp.core.approvals.states import Event, State
from pdp.core.approvals.steps import Delegate, Move, Note
from pdp.core.errors import InvalidRequest, NotFound, Overloaded
from pdp.service.approvals import visibility
from pdp.service.approvals.queue import Room
from pdp.service.approvals.visibility import ApprovalFilter

ALL = frozenset(State)


async def listed(office: Office, who: str | Person, **fields: object) -> list[str]:
    """Ids in the order of the list."""
    acting = person(who) if isinstance(who, str) else who
    found, after = await office.people.queue.list(acting, ApprovalFilter(**fields), Page())  # type: ignore[arg-type]
    assert after == ""
    return [view.approval.id for view in found]


async def test_each_sees_what_concerns_them(office: Office) -> None:
    red = await office.open(number=1)
    blue = await office.open(element(seats=seats(blue=1)), number=2)
    mine = await office.open(CONFIRMATION, number=3)
    assert await listed(office, "bob") == [red.id]
    assert await listed(office, "ann") == [red.id, blue.id]
    assert await listed(office, "cat") == [blue.id]
    assert await listed(office, "dan") == []
    assert await listed(office, person("dan", claimed=frozenset({"red"}))) == []  # not one that may be claimed
    assert await listed(office, "sue") == [red.id, blue.id, mine.id]  # her own calls
    assert await listed(office, person("sue", account=SECOND)) == [red.id, blue.id, mine.id]
    for who, role in (("oz", "operate"), ("ada", "audit")):
        assert await listed(office, person(who, roles=frozenset({role}))) == [red.id, blue.id, mine.id]
        assert await listed(office, person("dan", roles=frozenset({role}))) == []  # a role is lost with its group
    assert await listed(office, replace(person("bob"), tenant="other")) == []


async def test_a_deputy_sees_what_the_absent_would(office: Office) -> None:
    asked = await office.open()
    away = delegation("bob", "dan", from_ns=office.clock.at + NS, until_ns=office.clock.at + 10 * NS)
    await office.commit("delegation", lambda stamp: delegated(stamp, away, "h-bob", b"s" * 32), Delegate(away))
    assert await listed(office, "dan") == []
    office.clock.at += NS
    assert await listed(office, "dan") == [asked.id]
    assert await listed(office, "cat") == []  # bob's deputy is dan
    office.clock.at += 9 * NS
    assert await listed(office, "dan") == []


async def test_filters_narrow(office: Office) -> None:
    one = await office.open(number=1)
    office.clock.at += 10 * NS
    two = await office.open(number=2, call=replace(one.call, tool="git_push", agent="other", digest="d" * 64))
    await office.open(CONSENT, number=3)
    assert await listed(office, "sue", kinds=frozenset({"approval"})) == [one.id, two.id]
    assert await listed(office, "sue", tool="git_push") == [two.id]
    assert await listed(office, "sue", agent="other") == [two.id]
    assert await listed(office, "sue", server="git", kinds=frozenset({"approval"})) == [one.id, two.id]
    assert await listed(office, "sue", server="other") == []
    assert await listed(office, "bob", subject=one.call.subject) == [one.id, two.id]
    assert await listed(office, "bob", subject=person("bob").account) == []
    assert await listed(office, "bob", opened_from_ns=two.opened_ns) == [two.id]
    assert await listed(office, "bob", opened_to_ns=two.opened_ns) == [one.id]
    assert await listed(office, "bob", newest_first=True) == [two.id, one.id]


async def test_a_search_finds_by_code_person_and_agent(office: Office) -> None:
    one = await office.open(number=1, short_code="AA-AA")
    dans = replace(one.call, subject=account("dan"), agent="other", digest="d" * 64)
    two = await office.open(number=2, short_code="BB-BB", call=dans)
    stranger = replace(one.call, subject=account("zoe"), digest="e" * 64)
    three = await office.open(number=3, short_code="AA-AA", call=stranger)
    assert await listed(office, "bob", code="bb-bb") == [two.id]
    assert await listed(office, "bob", code="AA-AA") == [one.id, three.id]
    assert await listed(office, "bob", code="AA") == []
    assert await listed(office, "bob", person="SU") == [one.id]
    assert await listed(office, "bob", person="h-dan") == [two.id]
    assert await listed(office, "bob", person="zoe") == [three.id]  # whom the directory does not know
    assert await listed(office, "bob", person="nobody") == []
    assert await listed(office, "cat", person="sue") == []  # searching shows nothing that is not one's to see
    assert await listed(office, "bob", person="d", agent="other") == [two.id]
    misread = await office.open(number=4, short_code="OB-I7")
    for typed in ("OB-I7", "08-17", "ob17", " 08-i7 "):  # as it looks on a screen; codes have no 0, 1 and 8
        assert await listed(office, "bob", code=typed) == [misread.id]


async def test_a_search_that_fits_everybody_is_refused(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "_MOST_CALLED", 2)
    with pytest.raises(InvalidRequest):
        await listed(office, "bob", person="a")


async def test_requests_that_look_alike_say_which_arguments_tell_them_apart(office: Office) -> None:
    ghp = "ghp_" + "0123456789abcdefghij0123456789abcdef"
    for number, branch, force in ((1, "main", True), (2, "dev", True), (3, "main", True)):
        arguments = {"branch": branch, "force": force, ghp: number, "remote": None if number < 3 else "o"}
        await office.open(number=number, arguments=arguments)
    other = await office.open(number=4, arguments={"branch": "x"}, call=call({"branch": "x"}, tool="git_push"))
    found, _ = await office.people.queue.list(person(), ApprovalFilter(), Page())
    names = {view.approval.id: view.differs for view in found}
    assert names.pop(other.id) == ()
    assert set(names.values()) == {("branch", "remote")}  # names only, and no secret ones
    assert "dev" not in repr(found)


async def test_mine_are_those_on_which_i_may_vote(office: Office) -> None:
    one = await office.open(number=1)
    two = await office.open(number=2)
    three = await office.open(CONFIRMATION, number=3)
    await office.deny("bob", two)
    assert await listed(office, "bob", mine=True) == [one.id]
    assert await listed(office, "sue", mine=True) == [three.id]


async def test_expired_ones_read_so_before_they_are_swept(office: Office) -> None:
    asked = await office.open()
    office.clock.at = asked.expires_ns - 1
    assert await listed(office, "bob") == [asked.id]
    office.clock.at = asked.expires_ns
    assert await listed(office, "bob") == []
    assert await listed(office, "bob", states=frozenset({State.EXPIRED})) == [asked.id]
    assert await listed(office, "bob", states=frozenset({State.PENDING})) == []
    assert office.row(asked).state is State.PENDING  # nothing was written yet


async def test_pages_hold_everything_once(office: Office) -> None:
    ids = [(await office.open(number=n)).id for n in range(1, 8)]
    for mine in (False, True):
        seen: list[str] = []
        after, pages = "", 0
        while pages == 0 or after:
            found, after = await office.people.queue.list(person(), ApprovalFilter(mine=mine), Page(3, after))
            seen += [view.approval.id for view in found]
            pages += 1
        assert (seen, pages) == (ids, 3)


async def test_a_list_shows_no_argument_and_no_task(office: Office) -> None:
    await office.open(arguments={"secret_plan": "xyzzy"}, task="tell nobody")
    found, _ = await office.people.queue.list(person(), ApprovalFilter(), Page())
    assert (found[0].rows, found[0].presented) == ((), "")
    assert found[0].shown.effects == ("May delete or overwrite what is there.",)
    assert "xyzzy" not in repr(found)
    assert "tell nobody" not in repr(found)


async def test_a_look_is_recorded(office: Office) -> None:
    asked = await office.open()
    view = await office.people.queue.get(person("bob", surface="console"), asked.id)
    assert (view.rows[0].pointer, view.rows[0].value_json) == ("/branch", '"main"')
    assert view.may_vote
    (read,) = office.records("read")
    assert (read["human"], read["surface"], read["approval_id"]) == ("h-bob", "console", asked.id)
    assert "main" not in json.dumps(read)
    with pytest.raises(NotFound):
        await office.people.queue.get(person("dan"), asked.id)
    assert len(office.records("read")) == 1


async def test_a_request_is_made_ready_beside_the_loop_that_decides(office: Office) -> None:
    asked = await office.open(arguments={"values": [f"value {n}" for n in range(500)]})
    threads: set[int] = set()
    shown = office.store.shown

    def told(approval_id: str) -> Shown | None:
        threads.add(threading.get_ident())
        return shown(approval_id)

    office.store.shown = told  # type: ignore[method-assign] # who asks, and where
    await office.people.queue.get(person(), asked.id)
    assert threads
    assert threading.get_ident() not in threads


async def test_there_is_room_for_so_much_at_once_and_one_person_does_not_take_it_all() -> None:
    room, done, inside = Room(1, 3, 2), asyncio.Event(), asyncio.Event()
    at_work = []

    async def work(who: str) -> None:
        async with room.of(who):
            at_work.append(who)
            inside.set()
            await done.wait()

    begun = [asyncio.create_task(work(who)) for who in ("bob", "bob", "ann")]
    await inside.wait()
    await asyncio.sleep(0)
    assert at_work == ["bob"]
    for who in ("bob", "cat"):  # he has his share, and there is no room for anybody
        with pytest.raises(Overloaded):
            await work(who)
    done.set()
    await asyncio.gather(*begun)
    assert at_work == ["bob", "bob", "ann"]
    await work("cat")


async def carried_out(office: Office, asked: Approval, *voters: str) -> None:
    """Approved by these, and redeemed."""
    for who in voters:
        await office.approve(who, asked)
    row = office.row(asked)
    move = Move(row.id, row.version, Event.REDEEM, office.clock.at, redemption_id="r", call_id="c")
    await office.commit("approval", lambda stamp: moved(stamp, row, move), move)


async def compared(office: Office, who: str | Person, asked: Approval) -> dict[str, tuple[str, str]]:
    """How each argument differs from the call that this person sees it compared with."""
    view = await office.people.queue.get(person(who) if isinstance(who, str) else who, asked.id)
    return {row.pointer: (row.change, row.previous_json) for row in view.rows}


async def test_what_was_approved_before_is_compared(office: Office) -> None:
    first = await office.open(arguments={"branch": "dev", "gone": 1})
    await carried_out(office, first, "bob")
    second = await office.open(number=2, arguments={"branch": "main", "new": True})
    changes = {"/branch": ("changed", '"dev"'), "/new": ("added", ""), "/gone": ("removed", "1")}
    assert await compared(office, "bob", second) == changes
    assert await compared(office, "sue", second) == changes


@pytest.mark.parametrize("outcome", ["done", "failed", "unknown"])
async def test_what_became_of_a_call_is_shown(office: Office, outcome: str) -> None:
    asked = await office.open()
    await carried_out(office, asked, "bob")
    assert await became(office, asked) == {""}
    note = Outcome("d-1", TENANT, "gateway", asked.call.digest, "r", outcome, office.clock.at, "rec-1")
    await office.commit("outcome", lambda stamp: noted(stamp, note), Note(note))
    assert await became(office, asked) == {outcome}


async def became(office: Office, asked: Approval) -> set[str]:
    """What bob reads of it, in the list and on its own."""
    (listed,), _ = await office.people.queue.list(person(), ApprovalFilter(states=ALL), Page())
    return {listed.outcome, (await office.people.queue.get(person(), asked.id)).outcome}


UNCOMPARED = {"/branch": ("none", "")}
OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "another person's": ({}, {"subject": account("dan")}, "bob"),
    "the same id at another issuer": ({}, {"subject": replace(account("sue"), issuer="https://b.example")}, "bob"),
    "by another agent": ({}, {"agent": "robot"}, "bob"),
    "of another tool": ({}, {"tool": "git_push"}, "bob"),
    "wanted by another rule": ({"code": "risk.high"}, {}, "bob"),
    "wanted by a rule of another pack": ({"pack": "finance"}, {}, "bob"),
    "decided by a group that is not the viewer's": ({"seats": seats(blue=1)}, {}, "cat"),
}


@pytest.mark.parametrize("other", OTHERS)
async def test_a_call_is_compared_with_no_other(office: Office, other: str) -> None:
    """Arguments of a call that the person may not see, or that was approved for other reasons, stay out of sight."""
    requirement, call_fields, voter = OTHERS[other]
    arguments = {"branch": "another person's secret"}
    earlier = await office.open(element(**requirement), call=call(arguments, **call_fields), arguments=arguments)
    await carried_out(office, earlier, voter)
    asked = await office.open(number=2, arguments={"branch": "main"})
    assert await compared(office, "bob", asked) == UNCOMPARED


async def test_an_operator_sees_what_is_compared_whoever_decided(office: Office) -> None:
    earlier = await office.open(element(seats=seats(blue=1)), arguments={"branch": "dev"})
    await carried_out(office, earlier, "cat")
    asked = await office.open(number=2, arguments={"branch": "main"})
    assert await compared(office, "bob", asked) == UNCOMPARED
    operator = person("oz", roles=frozenset({"operate"}))
    assert await compared(office, operator, asked) == {"/branch": ("changed", '"dev"')}


async def test_what_the_subject_confirmed_is_compared_with_nothing(office: Office) -> None:
    """Nobody makes the ground for another's decision, or the own habit of nodding, by confirming."""
    await carried_out(office, await office.open(CONFIRMATION, arguments={"branch": "dev"}), "sue")
    asked = await office.open(number=2, arguments={"branch": "main"})
    again = await office.open(CONFIRMATION, number=3, arguments={"branch": "main"})
    assert await compared(office, "bob", asked) == UNCOMPARED
    assert await compared(office, "sue", again) == UNCOMPARED


async def test_an_approval_of_the_subjects_other_account_is_compared_with_nothing(office: Office) -> None:
    """Who turns out to be the subject, by an account linked since, approved its own call."""
    earlier = await office.open(arguments={"branch": "dev"})
    await carried_out(office, earlier, "bob")
    asked = await office.open(number=2, arguments={"branch": "main"})
    assert await compared(office, "ann", asked) == {"/branch": ("changed", '"dev"')}
    office.staff.set(member("sue", "red", linked=(account("bob"),)), member("ann", "red"))
    assert await compared(office, "ann", asked) == UNCOMPARED


async def test_what_this_release_cannot_read_is_not_there(office: Office) -> None:
    odd = {**element(), "deny_quorum": 0}
    asked = await office.open(odd)
    operator = person("oz", roles=frozenset({"operate"}))
    with pytest.raises(NotFound):
        await office.people.queue.get(operator, asked.id)
    assert await listed(office, operator) == []
    assert office.store.approval(TENANT, asked.id) is not None


async def test_who_refused_like_calls_and_why_is_told_to_those_who_may_see_that(office: Office) -> None:
    first = await office.open(element(seats=seats(red=1)), number=1)
    await office.deny("bob", first, reason="not on a Friday")
    other = await office.open(element(seats=seats(blue=1)), number=2)
    for who, told in (("ann", "not on a Friday"), ("cat", None)):  # red and blue; blue alone
        found = (await office.people.queue.get(person(who), other.id)).earlier
        assert found is not None
        assert (found.refusals, found.withdrawals) == (1, 0)
        assert (found.vote.reason if found.vote is not None else None) == told
    await office.deny("cat", other)
    assert (await office.people.queue.get(person("ann"), other.id)).earlier is None
