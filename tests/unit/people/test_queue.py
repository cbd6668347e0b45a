"""The queue: who sees what, in pages, and each look at one request recorded."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.approvals import CONFIRMATION, CONSENT, SECOND, delegation, element, person, seats
from support.office import NS, TENANT, Office

from pdp.core.approvals.org_records import delegated
from pdp.core.approvals.people import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.records import moved
from pdp.core.approvals.states import Event, State
from pdp.core.approvals.steps import Delegate, Move
from pdp.core.errors import NotFound
from pdp.service.people.looking import ApprovalFilter

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


async def test_what_was_approved_before_is_compared(office: Office) -> None:
    first = await office.open(arguments={"branch": "dev", "gone": 1})
    await office.approve("bob", first)
    row = office.row(first)
    move = Move(row.id, row.version, Event.REDEEM, office.clock.at, redemption_id="r", call_id="c")
    await office.commit("approval", lambda stamp: moved(stamp, row, move), move)
    second = await office.open(number=2, arguments={"branch": "main", "new": True})
    view = await office.people.queue.get(person("bob"), second.id)
    changes = {row.pointer: (row.change, row.previous_json) for row in view.rows}
    assert changes == {"/branch": ("changed", '"dev"'), "/new": ("added", ""), "/gone": ("removed", "1")}


async def test_what_this_release_cannot_read_is_not_there(office: Office) -> None:
    odd = {**element(), "deny_quorum": 0}
    asked = await office.open(odd)
    operator = person("oz", roles=frozenset({"operate"}))
    with pytest.raises(NotFound):
        await office.people.queue.get(operator, asked.id)
    assert await listed(office, operator) == []
    assert office.store.approval(TENANT, asked.id) is not None
