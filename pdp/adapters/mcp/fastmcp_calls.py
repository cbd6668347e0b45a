"""Calls and lists that arise within a FastMCP server: its tool search lists and calls other tools behind one tool's
name, so that the wire shows `call_tool` and nothing of what is meant."""

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


class NestedCalls(Middleware):
    """FastMCP's own middleware. What came by the wire is decided there, once. What a tool calls or lists in turn is
    decided here, and must be allowed at once: nobody can be asked in the middle of another call."""

    def __init__(self, enforcement: Enforcement) -> None:
        self._enforcement = enforcement

    @override
    async def on_call_tool(self, context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Any:
        running, name = executing.get(), context.message.name
        if running is None:
            raise ToolError(answers.SAFE_MESSAGE)  # it came past the wire, so nobody knows for whom
        if running.begun or running.name != name:
            await self._decide(running.ctx, context)
        running.begun = True
        return await call_next(context)

    @override
    async def on_list_tools(self, context: Any, call_next: Callable[[Any], Awaitable[Any]]) -> Sequence[Any]:
        listed: Sequence[Any] = await call_next(context)
        if (running := executing.get()) is None:
            return listed  # on its way to the wire, where it is filtered
        shown = await self._enforcement.visible([_definition(tool) for tool in listed], running.ctx)
        names = {tool.name for tool in shown.tools}
        return [tool for tool in listed if tool.name in names]

    async def _decide(self, ctx: Context, context: Any) -> None:
        """Raises ToolError for a call that is not allowed."""
        name, arguments = context.message.name, context.message.arguments or {}
        tool = await context.fastmcp_context.fastmcp.get_tool(name)
        definition = _definition(tool) if tool is not None else None
        decision = await self._enforcement.decide(
            ToolCall(self._enforcement.server, name, arguments, definition, protocol_version=ctx.protocol_version),
            ctx,
        )
        if not decision.allowed:
            raise ToolError(decision.safe_message)


def _definition(tool: Any) -> bytes:
    """The tool as this server lists it."""
    wire = tool.to_mcp_tool().model_dump(by_alias=True, mode="json", exclude_none=True)
    return json.dumps(wire, ensure_ascii=False).encode()
