"""Calls and lists that arise within a FastMCP server: its tool search lists and calls other tools behind one tool's
name, and so do its tools that read resources and get prompts. The wire shows `call_tool`, and not what is meant."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastmcp.exceptions import ToolError
from fastmcp.server.middleware import Middleware
from typing_extensions import override

from pdp.adapters.mcp import answers
from pdp.adapters.mcp.enforcement import Context, Enforcement, executing
from pdp.client import ToolCall
from pdp.client.values import Kind
from pdp.core.methods import LISTS
from pdp.core.uri_template import match

_Next = Callable[[Any], Awaitable[Any]]


class NestedCalls(Middleware):
    """FastMCP's own middleware. What came by the wire is decided there, once. What a tool calls, reads, gets or lists
    in turn is decided here, and must be allowed at once: nobody can be asked in the middle of another call."""

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement

    @override
    async def on_call_tool(self, context: Any, call_next: _Next) -> Any:
        return await self._entered("tool", context.message.name, context, call_next)

    @override
    async def on_read_resource(self, context: Any, call_next: _Next) -> Any:
        return await self._entered("resource", str(context.message.uri), context, call_next)

    @override
    async def on_get_prompt(self, context: Any, call_next: _Next) -> Any:
        return await self._entered("prompt", context.message.name, context, call_next)

    @override
    async def on_list_tools(self, context: Any, call_next: _Next) -> Sequence[Any]:
        return await self._listed("tools/list", context, call_next)

    @override
    async def on_list_prompts(self, context: Any, call_next: _Next) -> Sequence[Any]:
        return await self._listed("prompts/list", context, call_next)

    @override
    async def on_list_resources(self, context: Any, call_next: _Next) -> Sequence[Any]:
        return await self._listed("resources/list", context, call_next)

    @override
    async def on_list_resource_templates(self, context: Any, call_next: _Next) -> Sequence[Any]:
        return await self._listed("resources/templates/list", context, call_next)

    async def _entered(self, kind: Kind, name: str, context: Any, call_next: _Next) -> Any:
        running = executing.get()
        if running is None:
            raise ToolError(answers.SAFE_MESSAGE)  # it came past the wire, so nobody knows for whom
        if running.begun or (running.kind, running.name) != (kind, name):
            await self._decide(running.ctx, kind, name, context)
        running.begun = True
        return await call_next(context)

    async def _listed(self, method: str, context: Any, call_next: _Next) -> Sequence[Any]:
        listed: Sequence[Any] = await call_next(context)
        if (running := executing.get()) is None:
            return listed  # on its way to the wire, where it is filtered
        identity = LISTS[method].identity
        defined = [_definition(one) for one in listed]
        shown = await self._enforcement.visible([_encoded(one) for one in defined], running.ctx, method)
        names = {tool.name for tool in shown.tools}
        return [one for one, definition in zip(listed, defined, strict=True) if definition[identity] in names]

    async def _decide(self, ctx: Context, kind: Kind, name: str, context: Any) -> None:
        """Raises ToolError for what is not allowed."""
        found = await _component(context.fastmcp_context.fastmcp, kind, name)
        decision = await self._enforcement.decide(
            ToolCall(
                self._enforcement.server,
                name,
                None if kind == "resource" else context.message.arguments or {},
                _encoded(_definition(found)) if found is not None else None,
                protocol_version=ctx.protocol_version,
                kind=kind,
            ),
            ctx,
        )
        if not decision.allowed:
            raise ToolError(decision.safe_message)


async def _component(server: Any, kind: Kind, name: str) -> Any:
    """What the server has under this name, in the version that it lists; None for nothing."""
    if kind == "tool":
        return await server.get_tool(name)
    if kind == "prompt":
        return await server.get_prompt(name)
    if (resource := await server.get_resource(name)) is not None:
        return resource
    template = await server.get_resource_template(name)
    return template if template is not None and match(template.uri_template, name) is not None else None


def _definition(found: Any) -> dict[str, Any]:
    """A tool, prompt, resource or template as this server lists it."""
    form = next(name for name in ("tool", "prompt", "resource", "template") if hasattr(found, f"to_mcp_{name}"))
    listed = getattr(found, f"to_mcp_{form}")()
    return dict(listed.model_dump(by_alias=True, mode="json", exclude_none=True))


def _encoded(definition: dict[str, Any]) -> bytes:
    return json.dumps(definition, ensure_ascii=False).encode()
