"""Canaries: like any other request to who votes, never executable, and told apart in the log and in numbers."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from support.approvals import CONFIRMATION, TENANT, asked, constant, element, person
from support.office import NS, Office
from support.office import office as opened
from support.watching import Watch

from pdp.adapters.grpc.codec import approvals, standing
from pdp.core.approvals.directory import Person
from pdp.core.approvals.grants import GrantTerms, covers
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import State
from pdp.core.errors import Fault, Forbidden, InvalidRequest, NotFound
from pdp.service.approvals.grants import GrantFilter
from pdp.service.approvals.visibility import ApprovalFilter
from pdp.service.approvals.votes import BallotInput

OPERATOR = person("oz", roles=frozenset({"operate"}))
EVIL = json.dumps({"branch": "main", "hard": True, "force": "everything"}).encode()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def office(tmp_path: Path, watch: Watch) -> AsyncIterator[Office]:
    async with opened(tmp_path, telemetry=watch.telemetry) as found:
        yield found


async def canary(office: Office, like: Approval, who: Person = OPERATOR, request_id: str = "") -> Approval:
    """Open one; its row."""
    made, _ = await office.people.canaries.open(who, like.id, EVIL, request_id)
    found = office.store.approval(like.tenant, made)
    assert found is not None
    return found


async def test_it_is_a_request_like_its_model_about_other_arguments(office: Office) -> None:
    real = await office.open(task="tidy up")
    office.clock.at += 60 * NS
    made = await canary(office, real)
    assert (made.canary, made.state, made.version) == (True, State.PENDING, 1)
    assert (made.opened_ns, made.expires_ns) == (office.clock.at, office.clock.at + 900 * NS)
    for field in ("tenant", "kind", "requirement", "title", "risk", "subject_index"):
        assert getattr(made, field) == getattr(real, field)
    for field in ("id", "index", "short_code", "decision_id"):
        assert getattr(made, field) != getattr(real, field)
    assert replace(made.call, digest="") == replace(real.call, digest="")
    shown = office.store.shown(made.id)
    before = office.store.shown(real.id)
    assert shown is not None
    assert before is not None
    assert json.loads(shown.arguments)["force"] == "everything"
    assert (shown.task, shown.effects, shown.agent_name) == (before.task, before.effects, before.agent_name)
    assert shown.salt != before.salt


async def test_who_votes_cannot_tell_it_from_a_real_one(office: Office) -> None:
    """In a list, on its page and on the wire; also once it was voted on."""
    real = await office.open()
    made = await canary(office, real)
    bob, directory = person("bob"), office.staff.now

    async def seen(of: Approval) -> tuple[object, object, object]:
        listed, _ = await office.people.queue.list(bob, ApprovalFilter(states=frozenset(State)), Page())
        (summary,) = (each for each in listed if each.approval.id == of.id)
        view = await office.people.queue.get(bob, of.id)
        whole = MessageToDict(approvals.complete(view, directory, b""))
        return (
            set(MessageToDict(approvals.listed(summary, directory))),
            {key: set(value) if isinstance(value, dict) else "" for key, value in whole.items()},
            (view.may_vote, view.may_not_code, view.approval.state),
        )

    assert await seen(made) == await seen(real)
    text = str(approvals.complete(await office.people.queue.get(bob, made.id), directory, b"")).lower()
    assert "canary" not in text
    for each in (made, real):
        await office.approve("bob", each)
    assert await seen(made) == await seen(real)


async def test_it_is_never_evidence(office: Office) -> None:
    made = await canary(office, await office.open())
    await office.approve("bob", made)
    assert office.row(made).state is State.APPROVED
    found, _ = office.people.voting._looking.counting.stands(office.row(made), made.call, office.clock.at)
    assert found == "expired"


async def test_a_grant_that_comes_of_it_lets_nothing_through(office: Office) -> None:
    """It looks like any other to who gave it, and covers no call at all: not even that with a canary's arguments."""
    terms = GrantTerms(30, 5)
    real = await office.open(element(grant={"minutes": 30, "uses": 5}), arguments=json.loads(EVIL))
    made = await canary(office, real)
    given, done = await office.approve("bob", real, grant=terms), await office.approve("bob", made, grant=terms)
    assert given.grant_id
    assert done.grant_id
    usable, unusable = (office.store.grant(TENANT, each.grant_id) for each in (given, done))
    assert usable is not None
    assert unusable is not None
    call = asked(real.call, json.loads(EVIL))
    assert covers(usable, call, office.clock.at, constant)
    assert not covers(unusable, call, office.clock.at, lambda *_: True)
    listed, _ = await office.people.grants.list(person("bob"), GrantFilter(), Page())
    told = [MessageToDict(standing.grant(each, office.staff.now)) for each in listed]
    assert [{**each, "grantId": "", "approvalId": ""} for each in told[:1]] == [
        {**each, "grantId": "", "approvalId": ""} for each in told[1:]
    ]


async def test_nobody_but_an_operator_opens_one(office: Office) -> None:
    real = await office.open()
    for who in ("bob", "sue", "ada"):
        for roles in (frozenset[str](), frozenset({"audit"})):
            with pytest.raises(Forbidden) as caught:
                await canary(office, real, person(who, roles=roles))
            assert caught.value.code == "person.not_operator"
    assert office.records("canary") == []


async def test_what_it_cannot_be_made_of(office: Office) -> None:
    own = await office.open(CONFIRMATION)
    with pytest.raises(InvalidRequest, match="like"):
        await canary(office, own)
    with pytest.raises(NotFound):
        await canary(office, own, replace(OPERATOR, tenant="other"))
    with pytest.raises(NotFound):
        await canary(office, replace(own, id="none"))
    for raw in (b"[]", b"", b'{"a":1,"a":2}', b"\xff"):
        with pytest.raises(Fault):
            await office.people.canaries.open(OPERATOR, own.id, raw, "")


async def test_the_same_attempt_opens_one(office: Office) -> None:
    real = await office.open()
    first, again = await canary(office, real, request_id="r"), await canary(office, real, request_id="r")
    assert first.id == again.id
    with pytest.raises(InvalidRequest, match="other content"):
        await office.people.canaries.open(OPERATOR, real.id, b"{}", "r")


async def test_the_log_says_who_wanted_it(office: Office) -> None:
    real = await office.open()
    made = await canary(office, real)
    (record,) = office.records("canary")
    assert (record["approval_id"], record["like"], record["human"]) == (made.id, real.id, "h-oz")
    opened_records = [each["request"]["canary"] for each in office.records("approval") if each["request"]]
    assert opened_records == [False, True]
    assert "everything" not in json.dumps(office.records())


async def test_what_becomes_of_it_is_counted(office: Office, watch: Watch) -> None:
    real = await office.open()
    await office.approve("bob", await canary(office, real))
    await office.deny("bob", await canary(office, real))
    ignored, taken = await canary(office, real), await canary(office, real)
    await office.people.voting.vote(OPERATOR, taken.id, BallotInput("", "cancel"))
    office.clock.at = ignored.expires_ns
    await office.people.sweep.run_once(office.clock.at)
    assert office.row(ignored).state is State.EXPIRED
    assert {labels["pdp.outcome"]: n for labels, n in watch.points("pdp.approval.canaries")} == {
        "missed": 1,
        "caught": 1,
        "unanswered": 1,
        "cancelled": 1,
    }
