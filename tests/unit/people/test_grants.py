"""Grants: seen by whom they concern, ended at once, never twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.approval_harness import ALL_MEMBERS, NS, TENANT, ApprovalHarness
from support.approvals import ARGUMENTS, SECOND, account, asked, constant, element, member, person, seats

from pdp.core.approvals.directory import Person
from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.queries import Page
from pdp.core.errors import Forbidden, InvalidRequest, NotFound, Outdated
from pdp.core.rows.approvals import Account, Call, Grant
from pdp.core.rows.states import GrantState
from pdp.people.evidence import ApprovalEvidence
from pdp.people.grants import GrantFilter
from pdp.people.votes import BallotInput

OPERATOR = person("oz", roles=frozenset({"operate"}))
AUDITOR = person("ada", roles=frozenset({"audit"}))
ENDED = frozenset({GrantState.EXPIRED, GrantState.REVOKED})


async def granted(harness: ApprovalHarness, number: int = 1) -> Grant:
    asked = await harness.open(element(grant={"minutes": 30}), number=number)
    done = await harness.approve("bob", asked, grant=GrantTerms(30))
    found = harness.store.grant(TENANT, done.grant_id)
    assert found is not None
    return found


async def seen(harness: ApprovalHarness, who: Person, **fields: object) -> list[str]:
    found, _ = await harness.services.grants.list(who, GrantFilter(**fields), Page())  # type: ignore[arg-type]
    return [grant.id for grant in found]


async def test_who_sees_which(harness: ApprovalHarness) -> None:
    grant = await granted(harness)
    for who in (person("sue"), person("bob"), person("ann"), OPERATOR, AUDITOR):
        assert await seen(harness, who) == [grant.id]
    assert await seen(harness, person("cat")) == []
    assert await seen(harness, person("sue"), tool="other") == []


async def test_newest_first_in_pages(harness: ApprovalHarness) -> None:
    ids = []
    for number in (1, 2, 3):
        harness.clock.at += NS
        ids.append((await granted(harness, number)).id)
    found, after = await harness.services.grants.list(OPERATOR, GrantFilter(), Page(2))
    rest, end = await harness.services.grants.list(OPERATOR, GrantFilter(), Page(2, after))
    assert ([grant.id for grant in (*found, *rest)], end) == (ids[::-1], "")


@pytest.mark.parametrize("who", [person("sue"), person("bob"), person("ann"), OPERATOR], ids=lambda who: who.human)
async def test_subject_approvers_and_operators_end_one(harness: ApprovalHarness, who: Person) -> None:
    grant = await granted(harness)
    ended, ref = await harness.services.grants.revoke(who, grant.id, "no longer", "r-1")
    assert (ended.state, ended.ended_by) == (GrantState.REVOKED, who.human)
    assert await seen(harness, OPERATOR) == []
    assert await seen(harness, OPERATOR, states=ENDED) == [grant.id]
    record = harness.records("grant")[-1]
    assert (record["event"], record["by"]) == ("ended", who.human)
    assert harness.store.value(record["id"], "reason").data == b'"no longer"'
    assert (await harness.services.grants.revoke(who, grant.id, "no longer", "r-1"))[1] == ref
    with pytest.raises(InvalidRequest):
        await harness.services.grants.revoke(who, grant.id, "other", "r-1")
    with pytest.raises(Outdated) as caught:
        await harness.services.grants.revoke(who, grant.id, "", "r-2")
    assert caught.value.code == "grant.ended"


async def test_others_do_not(harness: ApprovalHarness) -> None:
    grant = await granted(harness)
    with pytest.raises(Forbidden):
        await harness.services.grants.revoke(AUDITOR, grant.id, "")
    for who, name in ((person("cat"), grant.id), (OPERATOR, "nothing")):
        with pytest.raises(NotFound) as caught:
            await harness.services.grants.revoke(who, name, "")
        assert caught.value.message == "There is no such grant."


async def test_time_ends_one_by_itself(harness: ApprovalHarness) -> None:
    grant = await granted(harness)
    harness.clock.at = grant.expires_ns
    assert await seen(harness, OPERATOR) == []
    assert await seen(harness, OPERATOR, states=frozenset({GrantState.EXPIRED})) == [grant.id]
    with pytest.raises(Outdated):
        await harness.services.grants.revoke(OPERATOR, grant.id, "")


@pytest.mark.parametrize(("who", "choice"), [("ann", "deny"), ("sue", "cancel")])
async def test_what_is_revoked_or_taken_back_leaves_no_grant(harness: ApprovalHarness, who: str, choice: str) -> None:
    asked = await harness.open(element(grant={"minutes": 30}))
    done = await harness.approve("bob", asked, grant=GrantTerms(30))
    await harness.services.votes.vote(person(who), asked.id, BallotInput("", choice))
    ended = harness.store.grant(TENANT, done.grant_id)
    assert (ended.state, ended.ended_by) == (GrantState.REVOKED, f"h-{who}")
    record = harness.records("grant")[-1]
    assert (record["event"], record["state"], record["grant_id"]) == ("ended", "revoked", ended.id)


async def test_a_seat_in_two_hands_needs_both_to_grant(harness: ApprovalHarness) -> None:
    asked = await harness.open(element(seats=seats(red=1, blue=1), grant={"minutes": 30}))
    await harness.approve("bob", asked, grant=GrantTerms(30))
    assert (await harness.approve("cat", asked)).grant_id == ""  # she agreed to this one call
    other = await harness.open(element(seats=seats(red=1, blue=1), grant={"minutes": 30}), number=2)
    await harness.approve("bob", other, grant=GrantTerms(30))
    done = await harness.approve("cat", other, grant=GrantTerms(10))
    grant = harness.store.grant(TENANT, done.grant_id)
    assert grant.expires_ns - grant.issued_ns == 10 * 60 * NS


async def test_who_gave_it_is_counted_again_for_each_call(harness: ApprovalHarness) -> None:
    """By the groups of now, and never for a call that one of them is a part of."""
    wanted = element(grant={"minutes": 30, "uses": 5}, seats=seats(red=1, blue=1))
    opened = await harness.open(wanted)
    await harness.approve("bob", opened, grant=GrantTerms(30, 5))
    await harness.approve("cat", opened, grant=GrantTerms(30, 5))
    await harness.approve("ann", opened)  # to this call only
    source = ApprovalEvidence(harness.counting(), constant)

    async def covered(by: Call) -> bool:
        return bool(await source.gather(asked(by, {**ARGUMENTS, "n": 1}), (wanted,), harness.clock.at))

    assert await covered(opened.call)
    for party in ("bob", "cat"):
        assert not await covered(replace(opened.call, actors=(*opened.call.actors, account(party))))
        assert not await covered(replace(opened.call, actors=(Account("", party),)))
    assert await covered(replace(opened.call, actors=(account("dan"),)))
    others = tuple(each for each in ALL_MEMBERS if each.id not in {"h-bob", "h-sue"})
    harness.directories.set(*others, member("sue", "red", linked=(SECOND, account("bob"))))
    assert not await covered(opened.call)  # bob turns out to be the subject
    harness.directories.set(*others, ALL_MEMBERS[0], member("bob", "blue"))
    assert not await covered(opened.call)  # a seat is empty
    harness.directories.set(*ALL_MEMBERS)
    assert await covered(opened.call)
