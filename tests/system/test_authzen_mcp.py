"""AuthZEN's MCP binding (COAZ-MCP): calls and lists of MCP as questions, and what is not said is not made up."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from support.environment import Stage, StillClock
from support.records import EVALUATION, EVALUATIONS, USERS, asks, post
from support.tools import CHANGING, GIT, READING, ServerPlan, resource, reviewed, tool
from support.world import WEDNESDAY_NS, Plan, World, running

from devtools.sandbox import Sandbox
from pdp.identity.development import DEVELOPMENT_ISSUER

pytestmark = pytest.mark.asyncio(loop_scope="module")
UNSHOWN = {name: {**said, "definition_check": "none"} for name, said in GIT.reviews.items()}
# git_branch takes nothing at all; git_diff_staged says nothing of what it takes; git_create_branch must be shown;
# git_push is granted to nobody
NOTHING = tool("git_branch")
OPEN = tool("git_diff_staged", open_schema=True)
SHOWN, HIDDEN = tool("git_create_branch"), tool("git_push")
SERVER = ServerPlan(
    "git",
    (*GIT.tools, NOTHING, OPEN, SHOWN, HIDDEN),
    {
        **UNSHOWN,
        "git_branch": reviewed(READING, permissions=["git:read"], definition_check="none"),
        "git_diff_staged": reviewed(READING, permissions=["git:read"], definition_check="none"),
        "git_create_branch": reviewed(CHANGING, permissions=["git:write"]),
        "git_push": reviewed(READING, definition_check="none"),
    },
)
ALICE = {"type": "identity", "id": "alice", "properties": {"groups": ["developers"], "scope": "git:read git:write"}}
AGENT = {"agent": "claude-code"}
CALL = {"name": "tools/call"}


def binding(drafts: Mapping[str, Any] | None = None, **rights: Any) -> Plan:
    """A world of git's tools, asked about in the words of the binding. `rights` change what the caller may do."""
    match = {"issuer": DEVELOPMENT_ISSUER, "subject": "app"}
    vouches = {"claims": [USERS], "groups": True, "properties": True}
    app = {"match": match, "tenant": "acme", "roles": ["decide"], "servers": ["git"], "may_assert": vouches}
    surface = {
        "listen": "127.0.0.1:0",
        "server": "git",
        "subjects": {"identity": {"issuer": USERS, "claims": ["groups", "scope"]}},
        "context": True,
        "drafts": {"mcp": True} if drafts is None else drafts,
    }
    settings = {"identity": {"callers": {"app": {**app, **rights}}}, "authzen": surface}
    return Plan(servers=(SERVER,), settings=settings, finish=_people)


def _people(made: Sandbox, _at_ns: int) -> None:
    settings = yaml.safe_load(made.config.read_text())
    issuers = settings["identity"]["issuers"]
    users = {"issuer": USERS, "subject_kind": {"otherwise": "human"}}
    settings["identity"]["issuers"] = [*issuers, {**issuers[0], **users}]
    made.config.write_text(yaml.safe_dump(settings, sort_keys=False))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("authzen")
    async with running(folder, binding(), Stage(StillClock(WEDNESDAY_NS), approvals=True)) as found:
        yield found


def calls(name: str, arguments: Any = None, *, context: Any = None, **more: Any) -> dict[str, Any]:
    """A question about one call of a tool."""
    action = {**CALL, **({"properties": {"arguments": arguments}} if arguments is not None else {})}
    said = AGENT if context is None else context
    return {**asks(ALICE, action, {"type": "tool", "id": name}, context=said), **more}


async def answer(world: World, body: Any) -> tuple[bool, str]:
    """The decision, and of a denial its code."""
    said = await post(world, EVALUATION, body)
    assert said.status_code == 200, said.text
    found = said.json()
    return found["decision"], found["context"].get("code", "")


def last(world: World) -> dict[str, Any]:
    found: dict[str, Any] = [json.loads(raw) for _, raw in world.process.store.records_from(0, 100_000)][-1]
    return found


async def test_a_call_with_its_arguments_is_the_call_of_a_tool(world: World) -> None:
    assert await answer(world, calls("git_status", {"repo_path": "/r"})) == (True, "")
    record = last(world)
    named = record["method"], record["server"]["id"], record["agent"]["id"], record["target"]["key"]
    assert named == ("tools/call", "git", "claude-code", "tool:git_status")


async def test_arguments_that_nobody_sent_are_not_guessed(world: World) -> None:
    """`{}` would satisfy these schemas, and be allowed."""
    for name in ("git_status", "git_log", "git_diff_staged"):
        assert (await answer(world, calls(name, {})))[0] is True
        assert await answer(world, calls(name)) == (False, "target.unknown")


async def test_a_tool_that_takes_nothing_needs_none(world: World) -> None:
    assert await answer(world, calls("git_branch")) == (True, "")


async def test_arguments_are_checked_with_the_signed_schema(world: World) -> None:
    assert await answer(world, calls("git_status", {"x": 1})) == (False, "arguments.schema")
    assert await answer(world, calls("git_branch", {"x": 1})) == (False, "arguments.schema")


async def test_an_agent_that_nobody_named_is_nobody(world: World) -> None:
    """And never the caller itself."""
    assert await answer(world, calls("git_branch", context={})) == (False, "agent.missing")
    assert await answer(world, calls("git_branch", context={"agent": ""})) == (False, "agent.missing")


async def test_what_must_be_shown_or_is_not_pinned_is_denied(world: World) -> None:
    assert await answer(world, calls("git_create_branch", {})) == (False, "tool.not_presented")
    assert (await answer(world, calls("git_push", {})))[0] is False
    assert (await answer(world, calls("git_rebase", {})))[0] is False
    assert (await answer(world, calls("git_branch", subject={**ALICE, "type": "robot"})))[0] is False
    assert (await answer(world, calls("git_branch", subject={"type": "identity", "id": "alice"})))[0] is False


async def test_a_mapping_of_a_servers_own_permits_nothing(world: World) -> None:
    """What it makes of a call is an operation, and nobody has signed that one."""
    declared = asks(ALICE, {"name": "git_branch"}, {"type": "branch", "id": "main"}, context=AGENT)
    assert (await answer(world, declared))[0] is False
    reshaped = asks(ALICE, CALL, {"type": "branch", "id": "git_branch"}, context=AGENT)
    assert (await answer(world, reshaped))[0] is False


@pytest.mark.parametrize(
    ("action", "kind", "name"),
    [
        ("tasks/get", "task", "7"),
        ("logging/setLevel", "mcp_server", resource("git")),
        ("server/discover", "mcp_server", resource("git")),
        ("completion/complete", "prompt", "x"),
        ("prompts/get", "prompt", "x"),
        ("resources/read", "resource", "file:///etc/passwd"),
        ("ping", "mcp_server", resource("git")),
    ],
)
async def test_what_is_not_mapped_is_denied(world: World, action: str, kind: str, name: str) -> None:
    body = asks(ALICE, {"name": action}, {"type": kind, "id": name}, context=AGENT)
    assert (await answer(world, body))[0] is False


@pytest.mark.parametrize(
    "body",
    [
        calls("git_branch", "x"),
        calls("git_branch", [1]),
        calls("git_branch", context={"agent": 7}),
        calls("git_branch", context={"agent": {"id": "x"}}),
    ],
)
async def test_what_is_malformed_is_refused(world: World, body: Any) -> None:
    assert (await post(world, EVALUATION, body)).status_code == 400


async def test_several_calls_at_once(world: World) -> None:
    body = {"evaluations": [calls("git_branch"), calls("git_status"), calls("git_branch", context={"agent": 7})]}
    found = (await post(world, EVALUATIONS, body)).json()["evaluations"]
    assert [each["decision"] for each in found] == [True, False, False]
    assert found[2]["context"]["error"]["status"] == 400


# Lists


def listing(name: str, at: str = resource("git"), **more: Any) -> dict[str, Any]:
    return {**asks(ALICE, {"name": name}, {"type": "mcp_server", "id": at}, context=AGENT), **more}


async def test_a_session_begins_where_something_may_be_used(world: World) -> None:
    assert (await answer(world, listing("initialize")))[0] is True
    assert (await answer(world, listing("initialize", subject={"type": "identity", "id": "mallory"})))[0] is False
    assert (await answer(world, listing("initialize", context={})))[0] is False
    assert (await answer(world, listing("initialize", resource("files"))))[0] is False


async def test_a_list_is_all_or_nothing(world: World, tmp_path: Path) -> None:
    """The binding has no word for a part of it, so what has a hidden tool is not shown."""
    assert (await answer(world, listing("tools/list")))[0] is False  # git_push is hidden
    assert (await answer(world, listing("prompts/list")))[0] is False  # nothing is signed
    few = replace(binding(), servers=(ServerPlan("git", (NOTHING,), {"git_branch": SERVER.reviews["git_branch"]}),))
    async with running(tmp_path / "few", few) as other:
        assert (await answer(other, listing("tools/list")))[0] is True
        assert (await answer(other, listing("tools/list", resource("files"))))[0] is False
        assert (await answer(other, listing("tools/list", subject={"type": "identity", "id": "mallory"})))[0] is False
        assert last(other)["kind"] == "list"


# Switch and rights


async def test_without_the_switch_such_a_question_is_an_operation(tmp_path: Path) -> None:
    async with running(tmp_path / "off", binding({})) as off:
        for body in (calls("git_branch"), calls("git_status", {}), listing("initialize"), listing("tools/list")):
            assert (await answer(off, body))[0] is False
        assert last(off)["kind"] == "decision"


@pytest.mark.parametrize("servers", [["git", "files"], ["*"], []])
async def test_a_caller_with_a_choice_of_servers_has_none(tmp_path: Path, servers: list[str]) -> None:
    async with running(tmp_path / "w", binding(servers=servers)) as other:
        for body in (calls("git_branch"), listing("initialize")):
            assert (await post(other, EVALUATION, body)).status_code == 403


async def test_agent_and_subject_count_on_the_word_of_who_may_give_them(tmp_path: Path) -> None:
    async with running(tmp_path / "w", binding(may_assert={"properties": True})) as other:
        assert (await answer(other, calls("git_branch")))[0] is False
