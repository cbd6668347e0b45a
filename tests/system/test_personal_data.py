"""Personal data and results without an end, over the socket: what is cut out, and what a call may not carry out."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from support.tools import READING, ServerPlan, reviewed, tool
from support.world import Plan, World, answered, codes, running
from test_inspection import ALLOW, DENY, allowed, inspect, stream, text

from devtools.sandbox import ALICE

pytestmark = pytest.mark.asyncio(loop_scope="module")
WORDS = {"to": {"type": "string"}, "body": {"type": "string"}}
MAILING = reviewed(READING, sinks=[{"kind": "email", "argument": "/to"}], interpreters=[])
GIT = ServerPlan("git", (tool("git_status"), tool("git_log", WORDS)), {"git_status": READING, "git_log": MAILING})


def _protects(made: Any, _at: int) -> None:
    path = made.policy / "data" / "org.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, "personal_data": {"protected": True, "countries": ["NL"]}}))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    plan = Plan(servers=(GIT,), settings={"content": {"max_unbounded_result": 1_024}}, finish=_protects)
    async with running(tmp_path_factory.mktemp("personal"), plan) as found:
        yield found


def cut_of(answer: Any) -> list[tuple[str, str, list[list[int]]]]:
    """Code, pointer and spans of what is cut out."""
    return [
        (each.code, one["pointer"], one["spans"])
        for each in answer.obligations
        for one in json.loads(each.parameters_json)["redactions"]
    ]


async def test_personal_data_is_cut_out_of_a_result(world: World) -> None:
    said = "Mail ada@acme.de or call +49 30 901820; BSN 111222333."
    answer = await inspect(world, stream(world, await allowed(world), text(said)))
    assert answer.effect == ALLOW
    ((code, pointer, spans),) = cut_of(answer)
    assert (code, pointer) == ("result.personal_data", "/content/0/text")
    assert [said[start:end] for start, end in spans] == ["ada@acme.de", "+49 30 901820", "111222333"]


async def test_the_result_of_a_tool_without_an_output_schema_is_cut_off(world: World) -> None:
    answer = await inspect(world, stream(world, await allowed(world), text("a " * 700)))
    assert cut_of(answer) == [("result.unbounded", "/content/0/text", [[1_020, 1_400]])]


async def test_a_call_may_name_an_addressee_and_carries_nobody_else_out(world: World) -> None:
    for body, denied in (("see you", False), ("ask bob@acme.de", True)):
        answer = await answered(world, world.ask(ALICE, "git_log", {"to": "ada@acme.de", "body": body}))
        assert ("arguments.personal_data" in codes(answer), answer.effect == DENY) == (denied, denied), body
