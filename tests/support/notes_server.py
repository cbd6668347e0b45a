"""An MCP server over stdio or HTTP that keeps notes, `clean` or with one leak.

With `mute` a process ends when it is asked for its memory the third time.

`python notes_server.py FOLDER LEAK WHO`, or `... FOLDER LEAK --listen FD`: the bearer says whose notes they are.

Over stdio two processes share FOLDER, over HTTP one process serves both identities.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mcp_types
import uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server
from starlette.applications import Starlette
from starlette.requests import Request

SCHEMA = {"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": False}
TOOLS = ("remember", "recall", "save", "load", "spill", "unspill", "ask", "answers")
LEAKS = ("clean", "memory", "files", "temporary", "cache", "left", "deaf")


class Notes:
    """What the server keeps. `leak` is the place that it keeps for everybody."""

    def __init__(self, folder: Path, leak: str) -> None:
        self.folder, self.leak = folder, leak
        self.kept: dict[tuple[str, str], str] = {}
        self.recalls = 0

    def _key(self, place: str, who: str) -> tuple[str, str]:
        return place, "" if self.leak == place else who

    def _file(self, place: str, who: str) -> Path:
        path = self.folder / place / ("all" if self.leak == place else who)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def recall(self) -> None:
        """Count what is read from memory."""
        self.recalls += 1
        if self.leak == "mute" and self.recalls == 3:
            os._exit(0)

    def call(self, tool: str, text: str, who: str) -> str:
        """The answer to a call."""
        if self.leak == "deaf":
            return "done"
        if tool in {"remember", "ask"}:
            place = "memory" if tool == "remember" else "cache"
            self.kept[self._key(place, who)] = self.kept.get(self._key(place, who), "") + text
            if self.leak in {"memory", "cache"}:  # over stdio another process would not see it
                self._file(place, who).write_text(text)
            return "done"
        if tool in {"recall", "answers"}:
            self.recall()
            place = "memory" if tool == "recall" else "cache"
            if self.leak == place:
                path = self._file(place, who)
                return path.read_text() if path.exists() else "nothing"
            return self.kept.get(self._key(place, who), "nothing")
        place = "files" if tool in {"save", "load"} else "temporary"
        path = self._file(place, who)
        if tool in {"save", "spill"}:
            path.write_text(text)
            if self.leak == "left":
                (self.folder / "shared").mkdir(exist_ok=True)
                (self.folder / "shared" / f"left-by-{who}").write_text(text)
            return "done"
        return path.read_text() if path.exists() else "nothing"


def made(notes: Notes, who: Any) -> Server[Any]:
    """The server; `who` gives the identity of a request."""

    async def listed(_ctx: Any, _params: Any) -> mcp_types.ListToolsResult:
        tools = [{"name": name, "description": "Notes.", "inputSchema": SCHEMA} for name in TOOLS]
        return mcp_types.ListToolsResult(tools=[mcp_types.Tool.model_validate(each) for each in tools])

    async def called(ctx: Any, params: Any) -> mcp_types.CallToolResult:
        given: Mapping[str, Any] = params.arguments or {}
        text = notes.call(params.name, str(given.get("text", "")), who(ctx))
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=text)])

    return Server("notes", on_list_tools=listed, on_call_tool=called)


def _bearer(ctx: Any) -> str:
    request: Request = ctx.request
    return request.headers["authorization"].removeprefix("Bearer ")


async def _stdio(notes: Notes, who: str) -> None:
    server = made(notes, lambda _ctx: who)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def main() -> None:
    folder, leak, who, *more = sys.argv[1:]
    notes = Notes(Path(folder), leak)
    if who == "--listen":
        app: Starlette = made(notes, _bearer).streamable_http_app()
        uvicorn.run(app, fd=int(more[0]), log_level="error")
    else:
        asyncio.run(_stdio(notes, who))


if __name__ == "__main__":
    main()
