"""A FastMCP server with prompts and resources, enforced: each protocol version, each answer, the SDK's client; and
what its own tools read and get behind one tool's name."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.transforms import PromptsAsTools, ResourcesAsTools
from mcp.shared.exceptions import MCPError
from served import CONSOLE, SAFE, Served, caller_options, served
from support.mcp_servers import LIMIT, MODERN, VERSIONS, User, connected, enforcement
from test_other_kinds import EVERYTHING, TESTS

from devtools import sandbox
from pdp.client.mcp.enforcement import attach
from pdp.core.caller.mcp_answers import DENIED
from pdp.pinning.pin import PinnedServer
from pdp.pinning.review import Review

pytestmark = pytest.mark.timeout(LIMIT)

AWAY = "unix:/nonexistent/pdp.sock"
READS: dict[str, Any] = {
    "risk": "low",
    "permissions": ["git:read"],
    "labels": [],
    "sinks": [],
    "annotations": {"read_only": True, "open_world": False},
    "cost": 1,
}
ASKS = READS | {"annotations": {"destructive": True}}
Asking = Callable[[Any], Awaitable[Any]]
STRANGER = sandbox.SandboxPerson("zoe", ("guests",), ("git:read",))
versions = pytest.mark.parametrize("version", VERSIONS)


def fastmcp(*, tools: bool = False) -> tuple[FastMCP, list[str]]:
    """A server with prompts, resources and a template, with tools that reach them where wanted; and what it did."""
    server, done = FastMCP("git"), list[str]()

    @server.tool()
    def status() -> str:
        done.append("tool:status")
        return "clean"

    for name in ("summary", "rewrite"):

        @server.prompt(name=name)
        def prompt(path: str, name: str = name) -> str:
            done.append(f"prompt:{name} {path}")
            return path

    for uri in ("file:///readme", "file:///plans", "file:///unpinned"):
        server.resource(uri, name=uri[8:])(partial(_read, done, uri))

    @server.resource("notes://{name}")
    def notes(name: str) -> str:
        done.append(f"resource:notes://{name}")
        return name

    if tools:
        server.add_transform(ResourcesAsTools(server))
        server.add_transform(PromptsAsTools(server))
    return server, done


def _read(done: list[str], uri: str) -> str:
    done.append(f"resource:{uri}")
    return "read"


async def offered(server: FastMCP) -> dict[str, list[dict[str, Any]]]:
    """What the server lists on the wire, by the names of the wire."""
    async with Client(server) as client:
        lists = {
            "tool": await client.list_tools(),
            "prompt": await client.list_prompts(),
            "resource": [*await client.list_resources(), *await client.list_resource_templates()],
        }
    shown = {"by_alias": True, "mode": "json", "exclude_none": True, "exclude": {"meta"}}
    found = {kind: [one.model_dump(**shown) for one in ones] for kind, ones in lists.items()}
    return {**found, "resource": [one for one in found["resource"] if one.get("uri") != "file:///unpinned"]}


def review(definitions: Mapping[str, list[dict[str, Any]]]) -> Review:
    """Everything reads, but for what asks."""
    named = {
        kind: [str(one.get("uri") or one.get("uriTemplate") or one["name"]) for one in ones]
        for kind, ones in definitions.items()
    }
    said: dict[str, dict[str, Any]] = {
        kind: {name: ASKS if name in ("rewrite", "file:///plans") else READS for name in of}
        for kind, of in named.items()
    }
    for name in said.get("tool", {}):  # what its URI or name leads to is decided in turn
        said["tool"][name] = said["tool"][name] | {"interpreters": []}
    return Review.model_validate(
        {"reviewed_by": "s@acme.example", **{f"{kind}s": entries for kind, entries in said.items()}}
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    definitions = asyncio.run(offered(fastmcp(tools=True)[0]))
    base = {"policy": {"workers": 1}, "identity": {"callers": {"second": caller_options("second")}}}
    world = sandbox.create(
        tmp_path_factory.mktemp("s") / "w",
        PinnedServer(sandbox.TENANT, "git", "https://mcp.acme.example/git", "d@acme.example"),
        settings=sandbox._merged(base, CONSOLE),
    )
    pack = world.folder / "policy" / "packs" / "everything"
    pack.mkdir(mode=0o755)
    for name, text in (("everything", EVERYTHING), ("everything_test", TESTS)):
        of_all = text.replace('"kinds": ["prompt", "resource"]', '"kinds": ["tool", "prompt", "resource"]')
        (pack / f"{name}.rego").write_text(of_all, encoding="utf-8")
        (pack / f"{name}.rego").chmod(0o644)
    now = time.time_ns()
    others = [(kind, one) for kind in ("prompt", "resource") for one in definitions[kind]]
    sandbox.pin(world.registry, world.server, definitions["tool"], review(definitions), at_ns=now, others=others)
    waivers = [{"id": "open", "code": "schema.open", "server": "git", "owner": "o", "reason": "of FastMCP's making"}]
    world.sign(now)
    world.waive(waivers, now)
    with served(world) as running:
        yield running


@asynccontextmanager
async def client_of(
    monkeypatch: pytest.MonkeyPatch,
    found: Served,
    version: str,
    *,
    tools: bool = False,
    mounted: bool = False,
    user: User | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Any, list[str]]]:
    server, done = fastmcp(tools=tools)
    if mounted:
        parent = FastMCP("git")
        parent.mount(server)
        server = parent
    guard = enforcement(found.world, **options)
    attach(server, guard)
    async with connected(monkeypatch, server._mcp_server, version, user) as client:
        assert client.protocol_version == version
        yield client, done
    await guard.close()


CELLS: dict[str, tuple[Asking, str]] = {
    "call": (lambda c: c.call_tool("status", {}), "tool:status"),
    "prompt": (lambda c: c.get_prompt("summary", {"path": "/src"}), "prompt:summary /src"),
    "resource": (lambda c: c.read_resource("file:///readme"), "resource:file:///readme"),
    "template": (lambda c: c.read_resource("notes://public-monday"), "resource:notes://public-monday"),
}


@versions
@pytest.mark.parametrize("mounted", [False, True], ids=["itself", "mounted"])
@pytest.mark.parametrize("cell", CELLS)
async def test_what_is_allowed_is_carried_out_and_decided_once(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str, cell: str, mounted: bool
) -> None:
    asking, did = CELLS[cell]
    before = len(found.records("decision"))
    async with client_of(monkeypatch, found, version, mounted=mounted) as (client, done):
        await asking(client)
    assert done == [did]
    assert [record["effect"] for record in found.records("decision")[before:]] == ["allow"]


@versions
async def test_what_is_not_pinned_or_not_the_subjects_is_denied(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str
) -> None:
    async with client_of(monkeypatch, found, version) as (client, done):
        for asking in (
            client.call_tool("nothing", {}),
            client.get_prompt("nothing", {}),
            client.read_resource("file:///unpinned"),
            client.read_resource("notes://a%2Fb"),
        ):
            with pytest.raises(MCPError) as refused:
                await asking
            assert (refused.value.code, refused.value.message) == (DENIED, SAFE)
        with pytest.raises(MCPError) as refused:
            await client.get_prompt("summary", {})
        assert (refused.value.code, "/path is missing" in refused.value.message) == (DENIED, True)
    async with client_of(monkeypatch, found, version, person=STRANGER) as (client, done):
        for asking, _ in CELLS.values():
            with pytest.raises(MCPError):
                await asking(client)
    assert done == []


@versions
@pytest.mark.parametrize(
    ("asking", "did"),
    [
        (lambda c, v: c.get_prompt("rewrite", {"path": f"/{v}"}), "prompt:rewrite /{}"),
        (lambda c, _: c.read_resource("file:///plans"), "resource:file:///plans"),
    ],
    ids=["prompt", "resource"],
)
async def test_what_is_pending_waits_and_is_carried_out_once(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str, asking: Any, did: str
) -> None:
    async with client_of(monkeypatch, found, version, user=User(found.world)) as (client, done):
        await asking(client, version)
    assert done == [did.format(version)]
    async with client_of(monkeypatch, found, version) as (client, done):  # whose client cannot ask
        with pytest.raises(MCPError) as refused:
            await asking(client, version)
        assert refused.value.data["status"] == "pending"
    assert done == []


LISTS: tuple[Asking, ...] = (
    lambda c: c.list_tools(),
    lambda c: c.list_prompts(),
    lambda c: c.list_resources(),
    lambda c: c.list_resource_templates(),
)


@versions
async def test_with_the_decision_point_away_nothing_passes(
    monkeypatch: pytest.MonkeyPatch, found: Served, version: str
) -> None:
    async with client_of(monkeypatch, found, version, target=AWAY, timeout=1) as (client, done):
        for asking in (*(asking for asking, _ in CELLS.values()), *LISTS):
            with pytest.raises(MCPError) as refused:
                await asking(client)
            assert (refused.value.code, refused.value.data) == (DENIED, {"status": "deny"})
    assert done == []


@versions
async def test_lists_are_the_subjects_own(monkeypatch: pytest.MonkeyPatch, found: Served, version: str) -> None:
    async with client_of(monkeypatch, found, version) as (client, _):
        assert [tool.name for tool in (await client.list_tools()).tools] == ["status"]
        assert {one.name for one in (await client.list_prompts()).prompts} == {"summary", "rewrite"}
        resources = await client.list_resources()
        assert {str(one.uri) for one in resources.resources} == {"file:///readme", "file:///plans"}
        if version == MODERN:
            assert resources.cache_scope == "private"
        assert len((await client.list_resource_templates()).resource_templates) == 1
    async with client_of(monkeypatch, found, version, person=STRANGER) as (client, _):
        for asking, member in zip(LISTS, ("tools", "prompts", "resources", "resource_templates"), strict=True):
            assert getattr(await asking(client), member) == []


@pytest.mark.parametrize("mounted", [False, True], ids=["itself", "mounted"])
async def test_what_a_tool_reads_and_gets_in_turn_is_decided(
    monkeypatch: pytest.MonkeyPatch, found: Served, mounted: bool
) -> None:
    """FastMCP's `ResourcesAsTools` and `PromptsAsTools`: one granted tool reads whatever URI the agent names."""
    async with client_of(monkeypatch, found, MODERN, tools=True, mounted=mounted) as (client, done):
        for tool, arguments in (
            ("read_resource", {"uri": "file:///readme"}),
            ("read_resource", {"uri": "notes://public-monday"}),
            ("get_prompt", {"name": "summary", "arguments": {"path": "/src"}}),
        ):
            result = await client.call_tool(tool, arguments)
            assert not result.is_error, result
        assert done == ["resource:file:///readme", "resource:notes://public-monday", "prompt:summary /src"]
        for tool, arguments in (
            ("read_resource", {"uri": "file:///unpinned"}),
            ("read_resource", {"uri": "file:///plans"}),
            ("read_resource", {"uri": "notes://a%2Fb"}),
            ("get_prompt", {"name": "rewrite", "arguments": {"path": "/src"}}),
            ("get_prompt", {"name": "summary", "arguments": {}}),
        ):
            assert (await client.call_tool(tool, arguments)).is_error, arguments
        listed = str((await client.call_tool("list_resources", {})).content)
        assert "file:///readme" in listed
        assert "unpinned" not in listed
        assert "rewrite" in str((await client.call_tool("list_prompts", {})).content)
    assert len(done) == 3


async def _resource(server: FastMCP, uri: str) -> Any:
    resource = await server.get_resource(uri)
    assert resource is not None
    return await resource.read()


async def _template(server: FastMCP, uri: str) -> Any:
    template = await server.get_resource_template(uri)
    assert template is not None
    return await template.read({"name": "a/b"})


async def _made(server: FastMCP, uri: str) -> Any:
    template = await server.get_resource_template(uri)
    assert template is not None
    return await (await template.create_resource(uri, {"name": "a/b"})).read()


async def _prompt(server: FastMCP, name: str) -> Any:
    prompt = await server.get_prompt(name)
    assert prompt is not None
    return await prompt.render({"path": "/src"})


@pytest.mark.parametrize(
    ("way", "named"),
    [
        (lambda server, uri: server.read_resource(uri), "file:///unpinned"),
        (lambda server, uri: server.read_resource(uri, run_middleware=False), "file:///unpinned"),
        (_resource, "file:///unpinned"),
        (_template, "notes://a%2Fb"),
        (_made, "notes://a%2Fb"),
        (lambda server, name: server.render_prompt(name, {"path": "/src"}), "rewrite"),
        (_prompt, "rewrite"),
    ],
    ids=["server", "no middleware", "resource", "template", "made", "prompts", "prompt"],
)
async def test_what_a_tool_reads_in_turn_is_decided_whatever_the_way(
    monkeypatch: pytest.MonkeyPatch, found: Served, way: Callable[[FastMCP, str], Awaitable[Any]], named: str
) -> None:
    async with client_of(monkeypatch, found, MODERN) as (client, done):
        server = client.server.fastmcp

        async def status() -> str:
            return str(await way(server, named))

        (tool,) = (each for each in await server.local_provider.list_tools() if each.name == "status")
        tool.fn = status
        assert (await client.call_tool("status", {})).is_error
    assert done == []


async def test_what_comes_past_the_wire_is_not_read(found: Served) -> None:
    server, done = fastmcp()
    attach(server, enforcement(found.world))
    for asking in (server.read_resource("file:///readme"), server.render_prompt("summary", {"path": "/"})):
        with pytest.raises(ToolError, match=SAFE):
            await asking
    assert done == []
