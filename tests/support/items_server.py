"""An MCP server over stdio that lists items, and deletes one."""

from __future__ import annotations

from mcp.server import MCPServer

server = MCPServer("items")


@server.tool()
def list_things(limit: int = 10) -> list[str]:
    """The names of items, at most `limit`."""
    return [f"item {number}" for number in range(limit)]


@server.tool()
def delete_item(name: str) -> str:
    """Delete an item."""
    return f"{name} is gone"


if __name__ == "__main__":
    server.run()
