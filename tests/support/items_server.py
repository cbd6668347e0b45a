"""An MCP server over stdio that lists items, and deletes one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import mcp_types
from mcp.server import Server
from mcp.server.stdio import stdio_server

LIMIT, NAME = {"limit": {"type": "integer"}}, {"name": {"type": "string"}}
TOOLS = (
    ("list_things", "The names of items, at most `limit`.", {"properties": LIMIT}),
    ("delete_item", "Delete an item.", {"properties": NAME, "required": ["name"]}),
)


def answer(tool: str, arguments: Mapping[str, Any]) -> str:
    """What a call returns."""
    if tool == "delete_item":
        return f"{arguments['name']} is gone"
    return ", ".join(f"item {number}" for number in range(arguments.get("limit", 10)))


async def listed(_ctx: Any, _params: Any) -> mcp_types.ListToolsResult:
    closed = {"type": "object", "additionalProperties": False}
    return mcp_types.ListToolsResult(
        tools=[
            mcp_types.Tool(name=name, description=text, input_schema={**closed, **schema})
            for name, text, schema in TOOLS
        ]
    )


async def called(_ctx: Any, params: Any) -> mcp_types.CallToolResult:
    text = answer(params.name, params.arguments or {})
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=text)])


async def main() -> None:
    server: Server[Any] = Server("items", on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
