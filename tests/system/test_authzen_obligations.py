"""AuthZEN's obligations profile: what a permit carries; one whose obligations its caller cannot see is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from google.protobuf.json_format import MessageToDict, ParseDict
from support.environment import Stage, StillClock
from support.records import (
    ACTIVE,
    ALICE,
    BOB,
    DELETE,
    EVALUATION,
    EVALUATIONS,
    READ,
    SEARCH,
    WRITE,
    asks,
    plan,
    post,
    sent,
)
from support.world import WEDNESDAY_NS, Plan, World, running

from pdp.vendored import authzen_access_pb2 as pb

pytestmark = pytest.mark.asyncio(loop_scope="module")
KINDS = ["watermark", "step-up", "notification"]
SOFTLY = {**DELETE, "properties": {"soft": True}}
_OBLIGE = """
# METADATA
# title: What is read is marked
oblige contains {"kind": "watermark", "code": "records.marked", "text": "CONFIDENTIAL"} if action == "record/read"

# METADATA
# title: Who writes has signed in strongly
oblige contains {"kind": "step-up", "code": "records.strong", "acr_value": "urn:acme:2", "amr_values": ["hwk"]} if {
	action == "record/write"
}

# METADATA
# title: A notification to nobody
oblige contains {"kind": "notification", "code": "records.told", "body": "deleted"} if action == "record/delete"
"""


def obliging(folder: Path, **authzen: Any) -> Plan:
    """A world whose pack obliges: reading by a kind of its own, writing by the profile's, deleting without sense."""
    made = plan({"context": True, **authzen})
    assert made.policy is not None
    policy = folder / "obliging"
    shutil.copytree(made.policy, policy)
    pack = policy / "packs" / "records" / "records.rego"
    pack.write_text(pack.read_text() + _OBLIGE)
    return replace(made, policy=policy)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("authzen")
    made = obliging(folder, drafts={"obligations": KINDS}, grpc=True)
    async with running(folder / "on", made, Stage(StillClock(WEDNESDAY_NS))) as found:
        yield found


async def answer(world: World, action: Any, *supported: str, context: Any = None) -> dict[str, Any]:
    """The answer to a question of a caller that says which types it carries out."""
    said = context if context is not None else {"supported_obligations": list(supported)}
    reply = await post(world, EVALUATION, asks(ALICE, action, ACTIVE, context=said))
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_kind_of_our_own_is_custom(world: World) -> None:
    found = await answer(world, READ, "custom")
    assert found["decision"] is True
    (told,) = found["context"]["obligations"]
    assert told == {
        "id": f"{found['context']['decision_id']}.1",
        "type": "custom",
        "properties": {"kind": "watermark", "code": "records.marked", "parameters": {"text": "CONFIDENTIAL"}},
    }


async def test_a_kind_of_the_profile_has_its_type(world: World) -> None:
    found = await answer(world, WRITE, "custom", "step-up", "unheard-of")
    (told,) = found["context"]["obligations"]
    assert (found["decision"], told["type"]) == (True, "step-up")
    assert told["properties"] == {"acr_value": "urn:acme:2", "amr_values": ["hwk"]}


@pytest.mark.parametrize("context", [{}, {"supported_obligations": None}, {"supported_obligations": []}])
async def test_who_says_nothing_is_denied(world: World, context: Any) -> None:
    """The profile leaves that to the decision point."""
    for action in (READ, WRITE):
        found = await answer(world, action, context=context)
        assert (found["decision"], found["context"]["code"]) == (False, "obligation.unsupported")
        assert "obligations" not in found["context"]


async def test_what_is_not_carried_out_is_denied_and_recorded_so(world: World) -> None:
    for action, supported in ((READ, "step-up"), (WRITE, "custom"), (READ, "watermark")):
        found = await answer(world, action, supported)
        assert (found["decision"], found["context"]["code"]) == (False, "obligation.unsupported")
        assert world.record(found["context"]["decision_id"])["effect"] == "deny"


async def test_what_lacks_a_part_of_its_type_permits_nothing(world: World) -> None:
    """A caller would have to refuse it, or might carry out half of it."""
    found = await answer(world, SOFTLY, "notification", "custom")
    assert found["decision"] is False
    assert found["context"]["code"] == "obligation.malformed"
    assert "obligations" not in found["context"]


async def test_a_denial_has_none(world: World) -> None:
    body = asks(BOB, WRITE, ACTIVE, context={"supported_obligations": KINDS})
    found = (await post(world, EVALUATION, body)).json()
    assert (found["decision"], "obligations" in found["context"]) == (False, False)


@pytest.mark.parametrize("said", ["custom", {"custom": True}, [1], [["custom"]], 0, ""])
async def test_what_is_no_list_of_types_is_refused(world: World, said: Any) -> None:
    reply = await post(world, EVALUATION, asks(ALICE, READ, ACTIVE, context={"supported_obligations": said}))
    assert (reply.status_code, reply.json()) == (400, "context.supported_obligations: must be an array of strings")


async def test_each_of_several_questions_has_its_own(world: World) -> None:
    items = [
        asks(ALICE, READ, ACTIVE, context={"supported_obligations": ["custom"]}),
        asks(ALICE, READ, ACTIVE),
        asks(ALICE, READ, ACTIVE, context={"supported_obligations": 7}),
    ]
    for semantic in ("execute_all", "permit_on_first_permit"):
        body = {"evaluations": items, "options": {"evaluations_semantic": semantic}}
        first, *rest = (await post(world, EVALUATIONS, body)).json()["evaluations"]
        assert (first["decision"], len(first["context"]["obligations"])) == (True, 1)
        assert [one["decision"] for one in rest] == ([] if semantic != "execute_all" else [False, False])
    body = {"evaluations": items}
    third = (await post(world, EVALUATIONS, body)).json()["evaluations"][2]
    assert third["context"]["error"]["status"] == 400


async def test_a_search_finds_nothing_that_obliges(world: World) -> None:
    """Its results have no place for obligations here."""
    body = {
        "subject": ALICE,
        "action": READ,
        "resource": {"type": "record"},
        "context": {"supported_obligations": ["custom"]},
    }
    assert (await post(world, f"{SEARCH}resource", body)).json() == {"results": []}


async def test_over_grpc_a_permit_carries_them(world: World) -> None:
    ask = world.channel.unary_unary(
        "/authzen.access.v1.Access/Evaluation",
        request_serializer=pb.EvaluationRequest.SerializeToString,
        response_deserializer=pb.EvaluationResponse.FromString,
    )
    for context, permitted in (({"supported_obligations": ["custom"]}, True), ({}, False)):
        given = ParseDict(asks(ALICE, READ, ACTIVE, context=context), pb.EvaluationRequest())
        found = MessageToDict(await ask(given, metadata=world.metadata("app"), timeout=60))
        assert found.get("decision", False) is permitted
        assert ("obligations" in found["context"]) is permitted


async def test_the_metadata_lists_the_types(world: World) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        at = f"http://{world.listener('authzen').address}/.well-known/authzen-configuration"
        found = (await client.get(at)).json()
    assert found["supported_obligations"] == ["custom", "notification", "step-up"]


async def test_without_the_switch_a_permit_has_none(tmp_path: Path) -> None:
    """Whatever a caller says that it carries out: it would not be told what."""
    async with running(tmp_path / "off", obliging(tmp_path, context=False)) as off:
        for action in (READ, WRITE):
            said = await post(off, EVALUATION, asks(ALICE, action, ACTIVE, context={"supported_obligations": KINDS}))
            assert said.content == b'{"decision":false}'
        said = await post(off, EVALUATION, asks(ALICE, READ, ACTIVE, context={"supported_obligations": 7}))
        assert said.content == b'{"decision":false}'
        last = [json.loads(raw) for _, raw in off.process.store.records_from(0, 100_000)][-1]
        assert [each["code"] for each in last["reasons"]] == ["obligation.unsupported"]


async def test_a_kind_that_is_not_listed_is_denied(tmp_path: Path) -> None:
    async with running(tmp_path / "on", obliging(tmp_path, drafts={"obligations": ["step-up"]})) as other:
        assert (await answer(other, READ, "custom", "step-up"))["decision"] is False
        assert (await answer(other, WRITE, "step-up"))["decision"] is True


async def test_what_is_asserted_about_the_subject_is_no_support(world: World) -> None:
    body = asks(sent(ALICE, supported_obligations=["custom"]), READ, ACTIVE)
    assert (await post(world, EVALUATION, body)).json()["decision"] is False
