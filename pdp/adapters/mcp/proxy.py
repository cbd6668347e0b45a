"""An MCP proxy: a server of tools that carries out nothing itself and passes what is allowed on to another server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import mcp_types
from mcp.client.client import Client
from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult
from mcp_types import CallToolRequestParams, CallToolResult, InputRequiredResult, ListToolsResult
from pydantic import BaseModel, Field

from pdp.adapters.mcp.enforcement import LIST, Context, Enforcement, attach


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
