"""A tool with a service behind it that takes tokens of its own: an allow obliges its caller to exchange one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.tools import READING, ServerPlan, reviewed, tool
from support.world import Plan, World, answered, codes, running

from pdp.authoring.sandbox import ALICE
from pdp.core.outcome import EXCHANGE
from pdp.v1 import decision_pb2, types_pb2

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("exchange")]
BEHIND = {"audience": "https://mail.acme.example", "scopes": ["mail.read", "mail.search"]}
GIT = ServerPlan(
    "git",
    (tool("git_status"), tool("git_log")),
    {"git_status": reviewed(READING, downstream=BEHIND), "git_log": READING},
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("x"), Plan(servers=(GIT,))) as found:
        yield found


async def test_an_allow_names_audience_and_scopes_and_no_token(world: World) -> None:
    asked = world.ask(ALICE, "git_status", obligations=(EXCHANGE,))
    answer = await answered(world, asked)
    assert answer.effect == types_pb2.EFFECT_ALLOW, codes(answer)
    (duty,) = answer.obligations
    assert (duty.kind, duty.code) == (EXCHANGE, "token.exchange")
    said = {name: each for name, each in json.loads(duty.parameters_json).items() if name not in {"control", "pack"}}
    assert said == {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", **BEHIND}
    assert asked.credential.bearer not in str(answer)
    (again,) = (await answered(world, asked)).obligations  # the kept answer is the same
    assert again == duty
    (recorded,) = world.record(answer.decision_id)["obligations"]
    assert recorded["kind"] == EXCHANGE


async def test_a_caller_that_exchanges_no_tokens_is_denied(world: World) -> None:
    answer = await answered(world, world.ask(ALICE, "git_status"))
    assert (answer.effect, codes(answer)) == (types_pb2.EFFECT_DENY, ["obligation.unsupported"])


async def test_a_tool_without_a_service_behind_it_obliges_to_nothing(world: World) -> None:
    answer = await answered(world, world.ask(ALICE, "git_log"))
    assert (answer.effect, list(answer.obligations)) == (types_pb2.EFFECT_ALLOW, [])


async def test_lists_show_the_tool(world: World) -> None:
    asked = decision_pb2.FilterToolsRequest(
        request_id=world.fresh(), server="git", credential=world.credential(ALICE)
    )
    found = await world.filter(asked)
    assert {each.name for each in found.tools} == {"git_status", "git_log"}
