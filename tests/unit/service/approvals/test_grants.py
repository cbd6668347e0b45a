"""Grants: seen by whom they concern, ended at once, never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.approvals import ARGUMENTS, SECOND, account, asked, constant, element, member, person, seats
from support.office import NS, STAFF, TENANT, Office

from pdp.core.approvals.directory import Person
from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Account, Call, Grant
from pdp.core.approvals.states import GrantState
from pdp.core.errors import Forbidden, InvalidRequest, NotFound, Outdated
from pdp.service.approvals.evidence import ApprovalEvidence
from pdp.service.approvals.grants import GrantFilter
from pdp.service.approvals.votes import BallotInput

OPERATOR = person("oz", roles=frozenset({"operate"}))
AUDITOR = person("ada", roles=frozenset({"audit"}))
ENDED = frozenset({GrantState.EXPIRED, GrantState.REVOKED})


async def granted(office: Office, number: int = 1) -> Grant:
    asked = await office.open(element(grant={"minutes": 30}), number=number)
    done = await office.approve("bob", asked, grant=GrantTerms(30))
    found = office.store.grant(TENANT, done.grant_id)
    assert found is not None
    return found


async def seen(office: Office, who: Person, **fields: object) -> list[str]:
    found, _ = await office.people.grants.list(who, GrantFilter(**fields), Page())  # type: ignore[arg-type]
    return [grant.id for grant in found]


async def test_who_sees_which(office: Office) -> None:
    grant = await granted(office)
    for who in (person("sue"), person("bob"), person("ann"), OPERATOR, AUDITOR):
        assert await seen(office, who) == [grant.id]
    assert await seen(office, person("cat")) == []
    assert await seen(office, person("sue"), tool="other") == []


async def test_newest_first_in_pages(office: Office) -> None:
    ids = []
    for number in (1, 2, 3):
        office.clock.at += NS
        ids.append((await granted(office, number)).id)
    found, after = await office.people.grants.list(OPERATOR, GrantFilter(), Page(2))
    rest, end = await office.people.grants.list(OPERATOR, GrantFilter(), Page(2, after))
    assert ([grant.id for grant in (*found, *rest)], end) == (ids[::-1], "")


@pytest.mark.parametrize("who", [person("sue"), person("bob"), person("ann"), OPERATOR], ids=lambda who: who.human)
async def test_subject_approvers_and_operators_end_one(office: Office, who: Person) -> None:
    grant = await granted(office)
    ended, ref = await office.people.grants.revoke(who, grant.id, "no longer", "r-1")
    assert (ended.state, ended.ended_by) == (GrantState.REVOKED, who.human)
    assert await seen(office, OPERATOR) == []
    assert await seen(office, OPERATOR, states=ENDED) == [grant.id]
    record = office.records("grant")[-1]
    assert (record["event"], record["by"]) == ("ended", who.human)
    assert office.store.value(record["id"], "reason").data == b'"no longer"'
    assert (await office.people.grants.revoke(who, grant.id, "no longer", "r-1"))[1] == ref
    with pytest.raises(InvalidRequest):
        await office.people.grants.revoke(who, grant.id, "other", "r-1")
    with pytest.raises(Outdated) as caught:
        await office.people.grants.revoke(who, grant.id, "", "r-2")
    assert caught.value.code == "grant.ended"


async def test_others_do_not(office: Office) -> None:
    grant = await granted(office)
    with pytest.raises(Forbidden):
        await office.people.grants.revoke(AUDITOR, grant.id, "")
    for who, name in ((person("cat"), grant.id), (OPERATOR, "nothing")):
        with pytest.raises(NotFound) as caught:
            await office.people.grants.revoke(who, name, "")
        assert caught.value.message == "There is no such grant."


async def test_time_ends_one_by_itself(office: Office) -> None:
    grant = await granted(office)
    office.clock.at = grant.expires_ns
    assert await seen(office, OPERATOR) == []
    assert await seen(office, OPERATOR, states=frozenset({GrantState.EXPIRED})) == [grant.id]
    with pytest.raises(Outdated):
        await office.people.grants.revoke(OPERATOR, grant.id, "")


@pytest.mark.parametrize(("who", "choice"), [("ann", "deny"), ("sue", "cancel")])
async def test_what_is_revoked_or_taken_back_leaves_no_grant(office: Office, who: str, choice: str) -> None:
    asked = await office.open(element(grant={"minutes": 30}))
    done = await office.approve("bob", asked, grant=GrantTerms(30))
    await office.people.voting.vote(person(who), asked.id, BallotInput("", choice))
    ended = office.store.grant(TENANT, done.grant_id)
    assert (ended.state, ended.ended_by) == (GrantState.REVOKED, f"h-{who}")
    record = office.records("grant")[-1]
    assert (record["event"], record["state"], record["grant_id"]) == ("ended", "revoked", ended.id)


async def test_a_seat_in_two_hands_needs_both_to_grant(office: Office) -> None:
    asked = await office.open(element(seats=seats(red=1, blue=1), grant={"minutes": 30}))
    await office.approve("bob", asked, grant=GrantTerms(30))
    assert (await office.approve("cat", asked)).grant_id == ""  # she agreed to this one call
    other = await office.open(element(seats=seats(red=1, blue=1), grant={"minutes": 30}), number=2)
    await office.approve("bob", other, grant=GrantTerms(30))
    done = await office.approve("cat", other, grant=GrantTerms(10))
    grant = office.store.grant(TENANT, done.grant_id)
    assert grant.expires_ns - grant.issued_ns == 10 * 60 * NS


async def test_who_gave_it_is_counted_again_for_each_call(office: Office) -> None:
    """By the groups of now, and never for a call that one of them is a part of."""
    wanted = element(grant={"minutes": 30, "uses": 5}, seats=seats(red=1, blue=1))
    opened = await office.open(wanted)
    await office.approve("bob", opened, grant=GrantTerms(30, 5))
    await office.approve("cat", opened, grant=GrantTerms(30, 5))
    await office.approve("ann", opened)  # to this call only
    source = ApprovalEvidence(office.people.voting._looking.counting, constant)

    async def covered(by: Call) -> bool:
        return bool(await source.gather(asked(by, {**ARGUMENTS, "n": 1}), (wanted,), office.clock.at))

    assert await covered(opened.call)
    for party in ("bob", "cat"):
        assert not await covered(replace(opened.call, actors=(*opened.call.actors, account(party))))
        assert not await covered(replace(opened.call, actors=(Account("", party),)))
    assert await covered(replace(opened.call, actors=(account("dan"),)))
    others = tuple(each for each in STAFF if each.id not in {"h-bob", "h-sue"})
    office.staff.set(*others, member("sue", "red", linked=(SECOND, account("bob"))))
    assert not await covered(opened.call)  # bob turns out to be the subject
    office.staff.set(*others, STAFF[0], member("bob", "blue"))
    assert not await covered(opened.call)  # a seat is empty
    office.staff.set(*STAFF)
    assert await covered(opened.call)
