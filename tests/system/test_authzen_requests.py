"""AuthZEN's access request profile (ARAP) over HTTP: what a pending question says, its task, and who tries what."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict, ParseDict
from support.environment import Stage, StillClock
from support.records import (
    ACTIVE,
    ALICE,
    ARCHIVED,
    BOB,
    DELETE,
    EVALUATION,
    EVALUATIONS,
    READ,
    WRITE,
    asks,
    plan,
    post,
    sent,
)
from support.world import WEDNESDAY_NS, Plan, World, running

from devtools.sandbox import ERIN
from pdp.client import AsyncApprovalClient, Ballot
from pdp.vendored import authzen_access_pb2 as pb
from pdp.wire.authzen.options import AuthzenOptions

pytestmark = pytest.mark.asyncio(loop_scope="module")
REQUESTS = "/access/v1/requests"
ERROR = "urn:openid:authzen:access-request:error:"
ON = {"drafts": {"access_requests": True}}
# subjects of an issuer that does not say that they are people need an approval of each change
WAITS = {"subjects": {"user": {"issuer": "https://else.example"}}}
CHANGE = asks(ALICE, WRITE, ACTIVE)


def waiting(folder: Path, authzen: Mapping[str, Any] = ON) -> Plan:
    """A world where changes wait for people, with a record for each test, and a second caller like the first."""
    made = plan({**WAITS, **authzen}, may_assert={"claims": ["https://else.example"], "properties": True})
    assert made.policy is not None
    policy = folder / "policy"
    shutil.copytree(made.policy, policy)
    stored = json.loads((policy / "data" / "org.json").read_text())
    stored["entities"] += [{**stored["entities"][2], "id": f"record-{number}"} for number in range(100, 200)]
    (policy / "data" / "org.json").write_text(json.dumps(stored))
    callers = made.settings["identity"]["callers"]
    twin = {**callers["app"], "match": {**callers["app"]["match"], "subject": "twin"}}
    more = {"approvals": {"open_per_subject": 100, "backoff_after": 50}}
    settings = {**made.settings, **more, "identity": {"callers": {**callers, "twin": twin}}}
    return replace(made, policy=policy, settings=settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authzen")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(folder: Path) -> AsyncIterator[World]:
    async with running(
        folder, waiting(folder, {**ON, "grpc": True}), Stage(StillClock(WEDNESDAY_NS), approvals=True)
    ) as found:
        yield found


_drawn = iter(range(100, 200))


def fresh() -> dict[str, Any]:
    """A question that nobody has asked yet, and that waits for people."""
    return asks(ALICE, WRITE, {**ACTIVE, "id": f"record-{next(_drawn)}"})


async def asked(world: World, body: Any, **more: Any) -> dict[str, Any]:
    """The answer to one question."""
    said = await post(world, EVALUATION, body, **more)
    assert said.status_code == 200, said.text
    found: dict[str, Any] = said.json()
    return found


def submission(body: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    """What a caller submits for a denied question."""
    context = answer["context"]
    denial = {
        "evaluation_id": context["evaluation_id"],
        "expires_at": context["access_request"]["expires_at"],
        "reason": context["reason"],
    }
    return {**body, "denial": denial}


async def look(world: World, endpoint: str, *, caller: str = "app") -> httpx.Response:
    """A look at a task."""
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        at = f"http://{world.listener('authzen').address}{urlsplit(endpoint).path}"
        return await client.get(at, headers=dict(world.metadata(caller)))


async def opened(world: World, body: Any) -> dict[str, Any]:
    """The task of a question that waits."""
    said = await post(world, REQUESTS, submission(body, await asked(world, body)))
    assert said.status_code == 202, said.text
    task: dict[str, Any] = said.json()["task"]
    return task


async def vote(world: World, task: Mapping[str, Any], choice: str) -> None:
    """What an approver says about the request behind a task."""
    own = world.sandbox.own_token(ERIN, world.now_ns)
    caller = dict(world.metadata("desk"))["authorization"].removeprefix("Bearer ")
    async with AsyncApprovalClient(world.sandbox.socket, own, token=caller) as desk:
        (at,) = [each for each in (await desk.list_approvals()).approvals if task["id"].startswith(each.approval_id)]
        presented = (await desk.get_approval(at.approval_id)).presented
        await desk.vote(at.approval_id, Ballot(choice, "as discussed", presented))


def requests_opened(world: World) -> int:
    """How many requests people were ever shown."""
    records = [json.loads(record) for _, record in world.process.store.records_from(0, 100_000)]
    return sum(each["kind"] == "approval" and each.get("event") == "opened" for each in records)


def problem(said: httpx.Response, kind: str) -> None:
    """It is this problem of the profile, and its words hold nothing that was sent."""
    assert said.headers["content-type"] == "application/problem+json", said.text
    found = said.json()
    assert found["type"] == ERROR + kind
    assert found["status"] == said.status_code
    assert not any(word in found["detail"] for word in ("alice", "bob", "record-1"))


# On


async def test_a_pending_question_says_how_to_go_on(world: World) -> None:
    answer = await asked(world, fresh())
    assert answer["decision"] is False
    context = answer["context"]
    assert set(context) == {"evaluation_id", "reason", "access_request"}
    assert context["reason"] == "approval_required"
    assert set(context["access_request"]) == {"endpoint", "expires_at", "display"}
    assert context["access_request"]["endpoint"] == f"https://pdp.acme.example{REQUESTS}"
    assert not any(word in json.dumps(context) for word in ("alice", "record-1", "erin", "group"))


async def test_what_nobody_is_asked_about_is_a_plain_answer(world: World) -> None:
    assert await asked(world, asks(ALICE, READ, ACTIVE)) == {"decision": True}
    assert await asked(world, asks(BOB, WRITE, ACTIVE)) == {"decision": False}


async def test_an_approved_question_is_permitted_when_it_is_asked_again(world: World) -> None:
    body, before = fresh(), requests_opened(world)
    answer = await asked(world, body)
    said = await post(world, REQUESTS, submission(body, answer))
    assert said.status_code == 202
    assert said.headers["retry-after"] == "5"
    task = said.json()["task"]
    assert said.headers["location"] == task["status_endpoint"] == f"https://pdp.acme.example{REQUESTS}/{task['id']}"
    assert (set(task), task["status"]) == ({"id", "status", "status_endpoint", "expires_at"}, "pending")
    assert (await look(world, task["status_endpoint"])).json() == {"task": task}
    await vote(world, task, "approve")
    found = (await look(world, task["status_endpoint"])).json()
    assert found["task"]["status"] == "approved"
    assert found["result"]["mode"] == "reevaluate"
    approval = found["result"]["approval"]
    assert set(approval) == {"id", "approved_until"}
    again = await asked(world, {**body, "context": {"approval": approval}})
    assert again["decision"] is True
    assert again["context"]["approval"]["id"] == approval["id"]
    assert again["context"]["approval"]["approved_until"] < approval["approved_until"]  # an allow holds for seconds
    # it was spent: the task still says what people said, and that it is over
    spent = (await look(world, task["status_endpoint"])).json()
    assert spent["task"]["status"] == "approved"
    assert spent["result"]["approval"]["approved_until"] < approval["approved_until"]
    assert requests_opened(world) == before + 1
    after = await asked(world, {**body, "context": {"approval": approval}})
    assert (after["decision"], after["context"]["reason"]) == (False, "approval_expired")
    assert (after["context"]["next_action"], "access_request" in after["context"]) == ("request", True)


async def test_an_approval_counts_without_being_shown(world: World) -> None:
    body = fresh()
    task = await opened(world, body)
    await vote(world, task, "approve")
    assert await asked(world, body) == {"decision": True}


async def test_submitting_again_asks_nobody_again(world: World) -> None:
    body, before = fresh(), requests_opened(world)
    tasks = []
    for _ in range(3):
        answer = await asked(world, body)
        for key in ("", "key-1", "key-2"):
            said = await post(
                world,
                REQUESTS,
                submission(body, answer),
                headers={"idempotency-key": key + answer["context"]["evaluation_id"][:36]},
            )
            assert said.status_code == 202
            tasks.append(said.json()["task"]["id"])
    assert len(set(tasks)) == 1
    assert requests_opened(world) == before + 1


async def test_what_people_refuse_is_denied_for_good(world: World) -> None:
    body = fresh()
    task = await opened(world, body)
    await vote(world, task, "deny")
    found = await look(world, task["status_endpoint"])
    assert found.json() == {"task": {**{name: task[name] for name in ("id", "status_endpoint")}, "status": "denied"}}
    assert "retry-after" not in found.headers
    assert (await asked(world, {**body, "context": {"approval": {"id": task["id"]}}}))["context"] == {
        "reason": "policy_denied",
        "next_action": "none",
    }


async def test_a_task_that_is_over_at_once_is_created_so(world: World) -> None:
    body = fresh()
    answer = await asked(world, body)
    await vote(world, await opened(world, body), "approve")
    said = await post(world, REQUESTS, submission(body, answer))
    assert (said.status_code, said.json()["task"]["status"]) == (201, "approved")


async def test_several_questions_each_have_their_own(world: World) -> None:
    one, other = fresh(), fresh()
    said = await post(world, EVALUATIONS, {"evaluations": [one, asks(ALICE, READ, ACTIVE), other]})
    first, second, third = said.json()["evaluations"]
    assert second == {"decision": True}
    for body, answer in ((one, first), (other, third)):
        assert (await post(world, REQUESTS, submission(body, answer))).status_code == 202
    problem(await post(world, REQUESTS, submission(one, third)), "invalid_denial_binding")


async def test_over_grpc_an_answer_says_the_same(world: World) -> None:
    """The profile has no call of its own there: what an answer says is submitted over HTTP."""
    body = fresh()
    ask = world.channel.unary_unary(
        "/authzen.access.v1.Access/Evaluation",
        request_serializer=pb.EvaluationRequest.SerializeToString,
        response_deserializer=pb.EvaluationResponse.FromString,
    )
    given = ParseDict(body, pb.EvaluationRequest())
    answer = MessageToDict(await ask(given, metadata=world.metadata("app"), timeout=60))
    assert not answer.get("decision")
    assert (await post(world, REQUESTS, submission(body, answer))).status_code == 202


async def test_the_metadata_says_so(world: World) -> None:
    found = (await look(world, "/.well-known/authzen-configuration")).json()
    assert found["access_request_endpoint"] == f"https://pdp.acme.example{REQUESTS}"
    assert found["capabilities"] == ["urn:openid:authzen:capability:access-request"]


# Off


async def test_an_address_that_answers_cannot_name_is_a_fault() -> None:
    with pytest.raises(ValueError, match="needs url"):
        AuthzenOptions.model_validate({"listen": "127.0.0.1:0", "server": "records", **ON})


async def test_without_the_switch_there_is_none_of_it(folder: Path, tmp_path: Path) -> None:
    async with running(folder / "off", waiting(tmp_path, {}), Stage(StillClock(WEDNESDAY_NS), approvals=True)) as off:
        said = await post(off, EVALUATION, {**CHANGE, "context": {"approval": {"id": "x"}}})
        assert said.content == b'{"decision":false}'
        assert (await post(off, REQUESTS, {})).status_code == 404
        assert (await look(off, f"{REQUESTS}/x")).status_code == 404
        found = (await look(off, "/.well-known/authzen-configuration")).json()
        assert not {"access_request_endpoint", "capabilities", "supported_obligations"} & set(found)


# Who tries what


async def test_another_callers_denial_and_task_read_like_unknown_ones(world: World) -> None:
    body = fresh()
    answer = await asked(world, body)
    problem(await post(world, REQUESTS, submission(body, answer), caller="twin"), "invalid_denial_binding")
    task = await opened(world, body)
    known = await look(world, task["status_endpoint"], caller="twin")
    unknown = await look(world, f"{REQUESTS}/nothing", caller="twin")
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    problem(known, "unknown_task")
    await vote(world, task, "approve")
    stolen = await asked(world, {**body, "context": {"approval": {"id": task["id"]}}}, caller="twin")
    assert (stolen["decision"], stolen["context"]) == (
        False,
        {"reason": "approval_unverifiable", "next_action": "none"},
    )
    assert await asked(world, body) == {"decision": True}  # it is still there for its own caller


async def test_an_approval_is_good_for_its_question_only(world: World) -> None:
    body, other = fresh(), fresh()
    task = await opened(world, body)
    await vote(world, task, "approve")
    said = await asked(world, {**other, "context": {"approval": {"id": task["id"]}}})
    assert (said["decision"], said["context"]["reason"]) == (False, "out_of_scope")
    assert await asked(world, body) == {"decision": True}


@pytest.mark.parametrize("approval", [None, "x", {}, {"id": 7}, {"id": "x"}, {"id": "0" * 101}, []])
async def test_an_approval_that_is_none_permits_nothing(world: World, approval: Any) -> None:
    said = await asked(world, {**fresh(), "context": {"approval": approval}})
    assert said == {"decision": False, "context": {"reason": "approval_unverifiable", "next_action": "none"}}


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": BOB},
        {"subject": sent(ALICE, role="admin")},
        {"action": DELETE},
        {"action": sent(WRITE, soft=True)},
        {"resource": ARCHIVED},
        {"resource": sent(ACTIVE, owner="x")},
        {"denial": None},
        {"denial": "x"},
        {"denial": {}},
        {"denial": {"expires_at": "2027-01-13T10:00:00Z"}},
        {"denial": {"evaluation_id": "x", "expires_at": "2027-01-13T10:00:00Z"}},
        {"denial": {"binding_token": "x", "expires_at": "2027-01-13T10:00:00Z"}},
    ],
)
async def test_what_does_not_belong_to_the_denial_is_refused(world: World, changed: dict[str, Any]) -> None:
    body = fresh()
    said = await post(world, REQUESTS, {**submission(body, await asked(world, body)), **changed})
    assert said.status_code == 400
    problem(said, "invalid_denial_binding")


async def test_a_denial_is_echoed_unchanged(world: World) -> None:
    body = fresh()
    whole = submission(body, await asked(world, body))
    for name, value in (
        ("evaluation_id", whole["denial"]["evaluation_id"][:-1] + "x"),
        ("evaluation_id", whole["denial"]["evaluation_id"].replace(".", ".9", 1)),
        ("expires_at", "2099-01-01T00:00:00Z"),
        ("binding_token", "x"),
    ):
        problem(
            await post(world, REQUESTS, {**whole, "denial": {**whole["denial"], name: value}}),
            "invalid_denial_binding",
        )
    # its caller may tell elsewhere for whom it acts, and say more than it was asked
    moved = {**whole, "context": {"justification": "renewal"}, "requested_access": {"emergency": True}}
    assert (await post(world, REQUESTS, moved)).status_code == 202


async def test_the_actor_may_stand_elsewhere(world: World) -> None:
    body = fresh()
    acting = {**body, "subject": sent(ALICE, act={"sub": "agent-7", "iss": "https://id.acme.example"})}
    whole = submission(acting, await asked(world, acting))
    assert (await post(world, REQUESTS, {**whole, "subject": sent(ALICE)})).status_code == 202
    said = await post(world, REQUESTS, {**whole, "client": {"actor": {"id": "agent-7"}}})
    assert (said.status_code, said.json()) == (400, "client.actor: cannot be verified here; leave it out")


async def test_what_is_not_served_is_refused(world: World) -> None:
    body = fresh()
    whole = submission(body, await asked(world, body))
    items = [{"resource": body["resource"], "action": body["action"]}]
    said = await post(world, REQUESTS, {"subject": ALICE, "items": items, "denial": whole["denial"]})
    assert said.status_code == 400
    problem(said, "not_requestable")
    said = await post(world, REQUESTS, {**whole, "callback": {"endpoint": "https://pep.example/back"}})
    assert (said.status_code, said.headers["content-type"]) == (400, "application/json")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", {}, {"subject": ALICE}, {**CHANGE, "subject": {"type": "user"}}])
async def test_what_is_malformed_is_refused(world: World, body: Any) -> None:
    said = await post(world, REQUESTS, body)
    assert (said.status_code, said.headers["content-type"]) == (400, "application/json")
    said = await post(world, REQUESTS, body, headers={"content-type": "text/plain"})
    assert said.status_code == 400


async def test_a_key_is_good_for_one_body(world: World) -> None:
    body, other = fresh(), fresh()
    one, two = submission(body, await asked(world, body)), submission(other, await asked(world, other))
    key = {"idempotency-key": "K"}
    first = await post(world, REQUESTS, one, headers=key)
    assert (await post(world, REQUESTS, one, headers=key)).json() == first.json()
    said = await post(world, REQUESTS, two, headers=key)
    assert said.status_code == 409
    problem(said, "duplicate_request")
    assert (await post(world, REQUESTS, two)).status_code == 202
    assert (await post(world, REQUESTS, two, headers={"idempotency-key": "x" * 257})).status_code == 400


async def test_who_may_not_ask_may_not_submit_or_look(world: World) -> None:
    body = fresh()
    task = await opened(world, body)
    for caller, status in ((None, 401), ("stranger", 403)):
        assert (
            await post(world, REQUESTS, submission(body, await asked(world, body)), caller=caller)
        ).status_code == status
    assert (await look(world, task["status_endpoint"], caller="stranger")).status_code == 403
    said = await post(world, urlsplit(task["status_endpoint"]).path, {})
    assert (said.status_code, said.headers["allow"]) == (405, "GET")
    assert (await post(world, f"{REQUESTS}/{task['id']}/cancel", {})).status_code == 405
    assert (await look(world, REQUESTS)).status_code == 405
    forged = task["id"][:-1] + ("0" if task["id"][-1] != "0" else "1")
    for handle in ("", "x", task["id"][:-1], task["id"] + "0", "../x", task["id"].upper(), forged):
        said = await look(world, f"{REQUESTS}/{handle}")
        assert said.status_code == 404, handle


# Time, and what is away


async def test_what_nobody_answered_in_time_has_expired(folder: Path, tmp_path: Path) -> None:
    stage = Stage(StillClock(WEDNESDAY_NS), approvals=True)
    async with running(folder / "late", waiting(tmp_path), stage) as world:
        approved, open_ = fresh(), fresh()
        first, second = await opened(world, approved), await opened(world, open_)
        whole = submission(open_, await asked(world, open_))
        await vote(world, first, "approve")
        stage.clock.advance(2 * 24 * 3600)
        for task in (first, second):
            assert (await look(world, task["status_endpoint"])).json()["task"]["status"] == "expired"
        said = await post(world, REQUESTS, whole)
        assert said.status_code == 410
        problem(said, "expired_denial")
        again = await asked(world, {**approved, "context": {"approval": {"id": first["id"]}}})
        assert (again["decision"], again["context"]["reason"]) == (False, "approval_expired")


async def test_with_its_store_away_nothing_is_said(folder: Path, tmp_path: Path) -> None:
    stage, body = Stage(StillClock(WEDNESDAY_NS), approvals=True), fresh()
    async with running(folder / "away", waiting(tmp_path), stage) as world:
        whole = submission(body, await asked(world, body))
        task = await opened(world, body)
        await world.process.store.close()
        for said in (await look(world, task["status_endpoint"]), await post(world, REQUESTS, whole)):
            assert said.status_code == 503
            assert said.headers["retry-after"] == "1"
            assert isinstance(said.json(), str)
