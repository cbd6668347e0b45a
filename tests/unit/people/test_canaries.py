"""Canaries: like any other request to who votes, never executable, and told apart in the log and in numbers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from support.approval_harness import NS, ApprovalHarness
from support.approval_harness import harness as opened
from support.approvals import CONFIRMATION, TENANT, asked, constant, element, person
from support.erasing import erase_subject
from support.watching import Watch

from pdp.core.approvals.directory import Person
from pdp.core.approvals.grants import GrantTerms, covers
from pdp.core.approvals.queries import Page
from pdp.core.call.stored import StoredCall
from pdp.core.errors import Fault, Forbidden, InvalidRequest, NotFound, Outdated
from pdp.core.rows.approvals import Approval
from pdp.core.rows.states import State
from pdp.people.grants import GrantFilter
from pdp.people.visibility import ApprovalFilter
from pdp.people.votes import BallotInput
from pdp.wire.grpc.codec import approvals, standing

OPERATOR = person("oz", roles=frozenset({"operate"}))
EVIL = json.dumps({"branch": "main", "hard": True, "force": "everything"}).encode()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def harness(tmp_path: Path, watch: Watch) -> AsyncIterator[ApprovalHarness]:
    async with opened(tmp_path, telemetry=watch.telemetry) as found:
        yield found


async def canary(harness: ApprovalHarness, like: Approval, who: Person = OPERATOR, request_id: str = "") -> Approval:
    """Open one; its row."""
    made, _ = await harness.services.canaries.open(who, like.id, EVIL, request_id)
    found = harness.store.approval(like.tenant, made)
    assert found is not None
    return found


async def test_it_is_a_request_like_its_model_about_other_arguments(harness: ApprovalHarness) -> None:
    real = await harness.open(task="tidy up")
    harness.clock.at += 60 * NS
    made = await canary(harness, real)
    assert (made.canary, made.state, made.version) == (True, State.PENDING, 1)
    assert (made.opened_ns, made.expires_ns) == (harness.clock.at, harness.clock.at + 900 * NS)
    for field in ("tenant", "kind", "requirement", "title", "risk", "subject_index"):
        assert getattr(made, field) == getattr(real, field)
    for field in ("id", "index", "short_code", "decision_id"):
        assert getattr(made, field) != getattr(real, field)
    assert replace(made.call, digest="") == replace(real.call, digest="")
    shown = harness.store.shown(made.id)
    before = harness.store.shown(real.id)
    assert shown is not None
    assert before is not None
    assert json.loads(shown.arguments)["force"] == "everything"
    assert (shown.task, shown.effects, shown.agent_name) == (before.task, before.effects, before.agent_name)
    assert shown.salt != before.salt


async def test_who_votes_cannot_tell_it_from_a_real_one(harness: ApprovalHarness) -> None:
    """In a list, on its page and on the wire; also once it was voted on."""
    real = await harness.open()
    made = await canary(harness, real)
    bob, directory = person("bob"), harness.directories.now

    async def seen(of: Approval) -> tuple[object, object, object]:
        listed, _ = await harness.services.queue.list(bob, ApprovalFilter(states=frozenset(State)), Page())
        (summary,) = (each for each in listed if each.approval.id == of.id)
        view = await harness.services.queue.get(bob, of.id)
        whole = MessageToDict(approvals.complete(view, directory, b""))
        return (
            set(MessageToDict(approvals.listed(summary, directory))),
            {key: set(value) if isinstance(value, dict) else "" for key, value in whole.items()},
            (view.may_vote, view.may_not_code, view.approval.state),
        )

    assert await seen(made) == await seen(real)
    text = str(approvals.complete(await harness.services.queue.get(bob, made.id), directory, b"")).lower()
    assert "canary" not in text
    for each in (made, real):
        await harness.approve("bob", each)
    assert await seen(made) == await seen(real)


async def test_it_is_never_evidence(harness: ApprovalHarness) -> None:
    made = await canary(harness, await harness.open())
    await harness.approve("bob", made)
    assert harness.row(made).state is State.APPROVED
    stored = StoredCall(votes={made.id: harness.store.votes(made.id)})
    found, _ = harness.counting().stands(harness.row(made), made.call, stored, harness.clock.at)
    assert (found, len(stored.votes[made.id])) == ("expired", 1)


async def test_a_grant_that_comes_of_it_lets_nothing_through(harness: ApprovalHarness) -> None:
    """It looks like any other to who gave it, and covers no call at all: not even that with a canary's arguments."""
    terms = GrantTerms(30, 5)
    real = await harness.open(element(grant={"minutes": 30, "uses": 5}), arguments=json.loads(EVIL))
    made = await canary(harness, real)
    given, done = await harness.approve("bob", real, grant=terms), await harness.approve("bob", made, grant=terms)
    assert given.grant_id
    assert done.grant_id
    usable, unusable = (harness.store.grant(TENANT, each.grant_id) for each in (given, done))
    assert usable is not None
    assert unusable is not None
    call = asked(real.call, json.loads(EVIL))
    assert covers(usable, call, harness.clock.at, constant)
    assert not covers(unusable, call, harness.clock.at, lambda *_: True)
    listed, _ = await harness.services.grants.list(person("bob"), GrantFilter(), Page())
    told = [MessageToDict(standing.grant(each, harness.directories.now)) for each in listed]
    assert [{**each, "grantId": "", "approvalId": ""} for each in told[:1]] == [
        {**each, "grantId": "", "approvalId": ""} for each in told[1:]
    ]


async def test_nobody_but_an_operator_opens_one(harness: ApprovalHarness) -> None:
    real = await harness.open()
    for who in ("bob", "sue", "ada"):
        for roles in (frozenset[str](), frozenset({"audit"})):
            with pytest.raises(Forbidden) as caught:
                await canary(harness, real, person(who, roles=roles))
            assert caught.value.code == "person.not_operator"
    assert harness.records("canary") == []


async def test_what_it_cannot_be_made_of(harness: ApprovalHarness) -> None:
    own = await harness.open(CONFIRMATION)
    with pytest.raises(InvalidRequest, match="like"):
        await canary(harness, own)
    with pytest.raises(NotFound):
        await canary(harness, own, replace(OPERATOR, tenant="other"))
    with pytest.raises(NotFound):
        await canary(harness, replace(own, id="none"))
    for raw in (b"[]", b"", b'{"a":1,"a":2}', b"\xff"):
        with pytest.raises(Fault):
            await harness.services.canaries.open(OPERATOR, own.id, raw, "")
    erased = await harness.open(number=2)
    assert await erase_subject(harness.store, TENANT, erased.subject_index)
    with pytest.raises(Outdated, match="erased"):
        await canary(harness, erased)


async def test_the_same_attempt_opens_one(harness: ApprovalHarness) -> None:
    real = await harness.open()
    first, again = await canary(harness, real, request_id="r"), await canary(harness, real, request_id="r")
    assert first.id == again.id
    with pytest.raises(InvalidRequest, match="other content"):
        await harness.services.canaries.open(OPERATOR, real.id, b"{}", "r")


async def test_the_log_says_who_wanted_it(harness: ApprovalHarness) -> None:
    real = await harness.open()
    made = await canary(harness, real)
    (record,) = harness.records("canary")
    assert (record["approval_id"], record["like"], record["human"]) == (made.id, real.id, "h-oz")
    opened_records = [each["request"]["canary"] for each in harness.records("approval") if each["request"]]
    assert opened_records == [False, True]
    assert "everything" not in json.dumps(harness.records())


async def test_what_becomes_of_it_is_counted(harness: ApprovalHarness, watch: Watch) -> None:
    real = await harness.open()
    await harness.approve("bob", await canary(harness, real))
    await harness.deny("bob", await canary(harness, real))
    ignored, taken = await canary(harness, real), await canary(harness, real)
    await harness.services.votes.vote(OPERATOR, taken.id, BallotInput("", "cancel"))
    harness.clock.at = ignored.expires_ns
    await harness.services.sweep.run_once(harness.clock.at)
    assert harness.row(ignored).state is State.EXPIRED
    assert {labels["pdp.outcome"]: n for labels, n in watch.points("pdp.approval.canaries")} == {
        "missed": 1,
        "caught": 1,
        "unanswered": 1,
        "cancelled": 1,
    }
