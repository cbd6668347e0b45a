"""Enforcement in a FastMCP server: what its tool search shows and calls behind one tool's name is decided as well."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.transforms.search import RegexSearchTransform
from fastmcp.server.transforms.search.base import serialize_tools_for_output_markdown
from fastmcp.tools.base import Tool
from mcp.client.client import Client as Upstream
from mcp.shared.exceptions import MCPError
from served import SAFE, Served, make_world, served
from support.mcp_servers import LIMIT, enforcement

from pdp.adapters.mcp.enforcement import Enforcement, UnsafeServerError, attach
from pdp.adapters.mcp.proxy import proxy
from pdp.adapters.mcp.tool_search import ToolSearch
from pdp.authoring.sandbox import ALICE, BOB


class Search(RegexSearchTransform):
    """FastMCP's own search, under names that Acme grants. The words of its own are a finding for `pdp tools scan`."""

    def __init__(self, rendered: Any = None) -> None:
        super().__init__(search_tool_name=SEARCH, call_tool_name=CALL, search_result_serializer=rendered)

    def _make_call_tool(self) -> Any:
        properties = {"name": {"type": "string"}, "arguments": {"type": "object"}}
        schema = {"type": "object", "properties": properties, "required": ["name"], "additionalProperties": False}
        return super()._make_call_tool().model_copy(update={"description": "Another tool.", "parameters": schema})


SEARCH, CALL = "git_show", "git_log"
SCHEMA = {"type": "object", "additionalProperties": False}
CLOSED = ("git_status", "git_reset")


def fastmcp(**options: Any) -> tuple[FastMCP, list[str]]:
    """A server with two tools and a search over them, and what it carried out."""
    server, called = FastMCP("git", **options), list[str]()

    @server.tool()
    def git_status(repo_path: str) -> str:
        called.append("git_status")
        return repo_path

    @server.tool()
    def git_reset(repo_path: str) -> str:
        called.append("git_reset")
        return repo_path

    return server, called


async def definitions(server: FastMCP, *, search: bool) -> dict[str, dict[str, Any]]:
    """Every tool as the server lists it, by name; with those of its search."""
    found = list(await server.list_tools())
    if search:
        server.add_transform(Search())
        found += await server.list_tools()
    return {
        tool.name: tool.to_mcp_tool().model_dump(by_alias=True, mode="json", exclude_none=True, exclude={"meta"})
        for tool in found
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    server, _ = fastmcp()
    tools = asyncio.run(definitions(server, search=True))
    world = make_world(tmp_path_factory.mktemp("s") / "w", tools=tools)
    with served(world) as running:
        yield running


@pytest.fixture(autouse=True)
async def limit() -> Any:
    async with asyncio.timeout(LIMIT):
        yield


def test_the_lines_of_the_page_run() -> None:
    """Those of docs/mcp-server.md and README.md: a server made by them is enforced."""
    for name in ("docs/mcp-server.md", "README.md"):
        page = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
        (code,) = (found for found in re.findall("```python\n(.*?)```", page, re.DOTALL) if "attach(" in found)
        made: dict[str, Any] = {"read_caller_token": lambda: "token", "server": FastMCP("git")}
        exec(code, made)
        with pytest.raises(UnsafeServerError, match="attached"):
            attach(made["server"], Enforcement("git", lambda: None))  # type: ignore[arg-type, return-value]


async def test_calls_and_lists_on_the_wire(found: Served) -> None:
    server, called = fastmcp()
    guard = enforcement(found.world)
    attach(server, guard)
    async with Client(server) as client:
        assert {tool.name for tool in await client.list_tools()} == set(CLOSED)
        await client.call_tool("git_status", {"repo_path": "/src"})
        with pytest.raises(MCPError) as refused:
            await client.call_tool("git_reset", {"repo_path": "/src"})
        assert refused.value.data["status"] == "pending"
    await guard.close()
    assert called == ["git_status"]


async def test_a_search_shows_and_calls_only_what_the_subject_may(found: Served) -> None:
    for person, shown, words in ((ALICE, set(CLOSED), "This call waits"), (BOB, {"git_status"}, "Unknown tool")):
        server, called = fastmcp()
        server.add_transform(Search())
        guard = enforcement(found.world, person)
        attach(server, guard)
        async with Client(server) as client:
            assert {tool.name for tool in await client.list_tools()} == {SEARCH, CALL}
            result = await client.call_tool(SEARCH, {"pattern": "git"})
            assert {tool["name"] for tool in result.structured_content["result"]} == shown
            await client.call_tool(CALL, {"name": "git_status", "arguments": {"repo_path": "/src"}})
            with pytest.raises(ToolError) as refused:
                await client.call_tool(CALL, {"name": "git_reset", "arguments": {"repo_path": "/src"}})
            assert words in str(refused.value)
        await guard.close()
        assert called == ["git_status"]


@pytest.mark.parametrize("rendered", [None, serialize_tools_for_output_markdown])
async def test_a_search_of_a_server_behind_a_proxy_shows_and_calls_only_what_the_subject_may(
    found: Served, rendered: Any
) -> None:
    """The proxy sees the wire alone: the definition of a tool is the one that the last search showed."""
    named = ToolSearch(frozenset({SEARCH}), frozenset({CALL}))
    for person, shown in ((ALICE, set(CLOSED)), (BOB, {"git_status"})):
        server, called = fastmcp()
        server.add_transform(Search(rendered))
        guard = enforcement(found.world, person, search=named)
        async with Upstream(server._mcp_server, cache=None) as upstream, Upstream(proxy(guard, upstream)) as client:
            status = {"name": "git_status", "arguments": {"repo_path": "/src"}}
            with pytest.raises(MCPError):  # nobody has searched for it, so nobody knows what it is
                await client.call_tool(CALL, status)
            if rendered is not None:
                with pytest.raises(MCPError):  # it is no list of which anything could be taken away
                    await client.call_tool(SEARCH, {"pattern": "git"})
                assert called == []
                continue
            result = await client.call_tool(SEARCH, {"pattern": "git"})
            assert {tool["name"] for tool in result.structured_content["result"]} == shown
            assert {tool["name"] for tool in json.loads(result.content[0].text)} == shown
            await client.call_tool(CALL, status)
            for meant in ({"name": "git_reset", "arguments": {"repo_path": "/src"}}, {"name": CALL}, {"name": ""}):
                with pytest.raises(MCPError):
                    await client.call_tool(CALL, meant)
        await guard.close()
        assert called == ["git_status"]


async def test_what_comes_past_the_wire_is_not_called(found: Served) -> None:
    server, called = fastmcp()
    attach(server, enforcement(found.world))
    with pytest.raises(ToolError, match=SAFE):
        await server.call_tool("git_status", {"repo_path": "/src"})
    assert called == []


async def test_the_version_that_is_listed_is_the_one_that_is_called(found: Served) -> None:
    server, called = FastMCP("git"), []
    for version in ("1", "2"):

        def git_status(repo_path: str, version: str = version) -> str:
            called.append(version)
            return repo_path

        properties = {"repo_path": {"type": "string"}}
        schema = {**SCHEMA, "properties": properties, "required": ["repo_path"]}
        tool = server.add_tool(Tool.from_function(git_status, name="git_status", version=version))
        tool.parameters = schema
    guard = enforcement(found.world)
    attach(server, guard)
    async with Client(server) as client:
        await client.call_tool("git_status", {"repo_path": "/src"}, version="1")
    await guard.close()
    assert called == ["2"]


def test_a_server_that_caches_for_all_is_refused(found: Served) -> None:
    server, _ = fastmcp(cache_ttl=60, cache_scope="public")
    with pytest.raises(UnsafeServerError, match="cache_scope"):
        attach(server, enforcement(found.world))
