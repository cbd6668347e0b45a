"""An MCP proxy: a server of tools that carries out nothing itself and passes what is allowed on to another server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mcp_types
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client
from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult
from mcp.server.stdio import stdio_server
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, ListToolsResult
from pydantic import BaseModel, Field

from pdp.adapters.mcp.enforcement import LIST, Context, Enforcement, attach
from pdp.confinement import Confinement


@dataclass(frozen=True, slots=True)
class Upstream:
    """The server behind: a command that is started in `folder`, confined unless that is None, or an address."""

    command: tuple[str, ...] = ()
    url: str | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    folder: str | None = None
    confinement: Confinement | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Client]:
        """A client of it. What it says on standard error is not ours to print."""
        if self.url is not None:
            async with Client(self.url, cache=None) as client:
                yield client
            return
        with ExitStack() as left:
            command, env = list(self.command), dict(self.env)
            if self.confinement is not None:
                command, own = left.enter_context(self.confinement.around(command, self.folder or os.curdir))
                env |= own
            quiet = left.enter_context(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: ASYNC230 - the null device
            parameters = StdioServerParameters(command=command[0], args=command[1:], env=env or None, cwd=self.folder)
            async with Client(stdio_client(parameters, errlog=quiet), cache=None) as client:
                yield client


class _Page(BaseModel):
    """One page of `tools/list`, its tools as the server wrote them: the SDK's models drop what they do not know."""

    tools: list[Any]
    next_cursor: str | None = Field(default=None, alias="nextCursor")


def proxy(enforcement: Enforcement, upstream: Client) -> Server[Any]:
    """A server that enforces before `upstream`, which is connected. Only tools pass: no other method exists here."""

    async def call(_ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        return await upstream.session.call_tool(
            params.name,
            params.arguments,
            input_responses=params.input_responses,
            request_state=params.request_state,
            allow_input_required=True,
        )

    async def nothing(_ctx: Context, _params: Any) -> ListToolsResult:
        """For the capability; `raw_lists` answers before it."""
        return ListToolsResult(tools=[])

    async def raw_lists(ctx: Context, call_next: CallNext) -> HandlerResult:
        """Pages for the enforcement, which makes the client's list of them."""
        if ctx.method != LIST:
            return await call_next(ctx)
        params: Mapping[str, Any] = ctx.params or {}
        asked = mcp_types.PaginatedRequestParams(cursor=params.get("cursor"))
        page = await upstream.session.send_request(mcp_types.ListToolsRequest(params=asked), _Page)
        return {"tools": page.tools, "nextCursor": page.next_cursor}

    server: Server[Any] = Server(f"pdp-{enforcement.server}", on_list_tools=nothing, on_call_tool=call)
    server.middleware.append(raw_lists)
    attach(server, enforcement)
    return server


async def over_stdio(enforcement: Enforcement, upstream: Upstream) -> None:
    """Enforce before `upstream` for the client on standard input and output, until it hangs up."""
    try:
        async with upstream.connected() as client, stdio_server() as (incoming, outgoing):
            server = proxy(enforcement, client)
            await server.run(incoming, outgoing, server.create_initialization_options())
    finally:
        await enforcement.close()
