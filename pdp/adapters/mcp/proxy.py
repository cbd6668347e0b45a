"""An MCP proxy: a server that carries out nothing itself and passes what is allowed on to another server."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import mcp_types
from mcp.client.client import Client
from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from mcp_types import METHOD_NOT_FOUND, CallToolRequestParams, CallToolResult, InputRequiredResult
from pydantic import BaseModel, TypeAdapter

from pdp.adapters.mcp.enforcement import Context, Enforcement, attach
from pdp.confinement import Confinement
from pdp.mcp_transport import to_command, to_url

_REQUESTS: Mapping[str, type[Any]] = {
    "tools/list": mcp_types.ListToolsRequest,
    "prompts/list": mcp_types.ListPromptsRequest,
    "prompts/get": mcp_types.GetPromptRequest,
    "resources/list": mcp_types.ListResourcesRequest,
    "resources/templates/list": mcp_types.ListResourceTemplatesRequest,
    "resources/read": mcp_types.ReadResourceRequest,
    "completion/complete": mcp_types.CompleteRequest,
}


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
        """A client of it, whose answers are bounded (`mcp_transport`)."""
        if self.url is not None:
            async with Client(to_url(self.url), cache=None) as client:
                yield client
            return
        with ExitStack() as left:
            command, env = list(self.command), dict(self.env)
            if self.confinement is not None:
                command, own = left.enter_context(self.confinement.around(command, self.folder or os.curdir))
                env |= own
            async with Client(to_command(command, env, self.folder), cache=None) as client:
                yield client


_HANDLERS: Mapping[str, str] = {
    "tools/list": "on_list_tools",
    "prompts/list": "on_list_prompts",
    "prompts/get": "on_get_prompt",
    "resources/list": "on_list_resources",
    "resources/templates/list": "on_list_resource_templates",
    "resources/read": "on_read_resource",
    "completion/complete": "on_completion",
}


def _has(upstream: Client, method: str) -> bool:
    """Whether the server says that it has such. Tools are always asked for."""
    told = upstream.server_capabilities
    of = {"prompts": told.prompts, "resources": told.resources, "completion": told.completions}
    return of.get(method.partition("/")[0], told) is not None


class _Result(BaseModel, extra="allow"):
    """A result as the server wrote it: the SDK's models drop what they do not know."""


def proxy(enforcement: Enforcement, upstream: Client) -> Server[Any]:
    """A server that enforces before `upstream`, which is connected. It has what that server says it has of tools,
    prompts, resources and completions; subscriptions, and all other methods, do not exist here."""

    async def call(_ctx: Context, params: CallToolRequestParams) -> CallToolResult | InputRequiredResult:
        return await upstream.session.call_tool(
            params.name,
            params.arguments,
            input_responses=params.input_responses,
            request_state=params.request_state,
            allow_input_required=True,
        )

    async def nothing(_ctx: Context, _params: Any) -> Any:
        """For the capability; `raw` answers before it."""
        raise MCPError(METHOD_NOT_FOUND, "Method not found")

    async def raw(ctx: Context, call_next: CallNext) -> HandlerResult:
        """What has been decided, and pages for the enforcement, which makes the client's list of them."""
        asked = _REQUESTS.get(ctx.method)
        if asked is None or ctx.request_id is None or not _has(upstream, ctx.method):
            return await call_next(ctx)
        given = {name: value for name, value in (ctx.params or {}).items() if name != "_meta"}
        params = asked.model_fields["params"].annotation
        request = asked(params=TypeAdapter(params).validate_python(given, by_alias=True))
        result = await upstream.session.send_request(request, _Result)
        return result.model_extra or {}

    handlers: dict[str, Any] = {name: nothing for method, name in _HANDLERS.items() if _has(upstream, method)}
    server: Server[Any] = Server(f"pdp-{enforcement.server}", on_call_tool=call, **handlers)
    server.middleware.append(raw)
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
