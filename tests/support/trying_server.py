"""An MCP server over stdio that tries what it is asked to: reads, writes, dials out. Run as a script.

usage: trying_server.py LISTS, a JSON file with the tools that it lists; read for every list.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mcp_types
from mcp.server import Server
from mcp.server.stdio import stdio_server


def look(path: str) -> str:
    return Path(path).read_text()


def lists(path: str) -> str:
    return ",".join(sorted(os.listdir(path)))  # noqa: PTH208


def put(path: str) -> str:
    Path(path).write_text("was here")
    return "written"


def dial(kind: str, where: str) -> str:
    if kind == "unix":
        with socket.socket(socket.AF_UNIX) as made:
            made.connect(where)
    elif kind == "datagram":  # of a pair, which is connected elsewhere
        made, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        with made, other:
            made.sendto(b"x", where)
    elif kind == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
            made.sendto(b"x", ("127.0.0.1", int(where)))
    else:
        with socket.socket() as made:
            made.connect(("127.0.0.1", int(where)))
    return "reached"


def end(process: int) -> str:
    os.kill(process, signal.SIGTERM)
    return "ended"


def mode(path: str) -> str:
    Path(path).chmod(0o777)
    return "changed"


def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def variables() -> str:
    return json.dumps(dict(os.environ))


def here() -> str:
    return str(Path.cwd())


TRIES: dict[str, Callable[..., str]] = {
    each.__name__: each for each in (look, lists, put, dial, end, mode, child, variables, here)
}


async def main(listed: Path) -> None:
    async def tools(_ctx: Any, _params: Any) -> mcp_types.ListToolsResult:
        found = json.loads(look(str(listed)))
        return mcp_types.ListToolsResult(tools=[mcp_types.Tool.model_validate(tool) for tool in found])

    async def call(_ctx: Any, params: Any) -> mcp_types.CallToolResult:
        failed, text = False, ""
        try:
            text = TRIES[params.name](**(params.arguments or {}))
        except Exception as error:
            failed, text = True, f"{type(error).__name__}: {error}"
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=text)], is_error=failed)

    server: Server[Any] = Server("trying", on_list_tools=tools, on_call_tool=call)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))
