"""An MCP server over stdio that tries what it is asked to: reads, writes, dials out. Run as a script.

usage: trying_server.py LISTS, a JSON file with an object of lists by the names of the wire, read for every list.
Prompts, resources and templates it has if the file has some at its start.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
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


def limit(process: int) -> str:
    resource.prlimit(process, resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    return "limited"


def priority(process: int) -> str:
    os.setpriority(os.PRIO_PROCESS, process, 5)
    return "lowered"


def processors(process: int) -> str:
    os.sched_setaffinity(process, {min(os.sched_getaffinity(process))})
    return "bound"


def scheduling(process: int) -> str:
    os.sched_setscheduler(process, os.SCHED_BATCH, os.sched_param(0))
    return "scheduled"


def shared(key: int) -> str:
    """The number of a segment of System V shared memory."""
    made = ctypes.CDLL(None, use_errno=True).shmget(key, 4096, 0o600)
    if made < 0:
        raise PermissionError(ctypes.get_errno(), "shmget")
    return str(made)


def watch(path: str) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.inotify_add_watch(libc.inotify_init1(0), path.encode(), 0x100) < 0:  # IN_CREATE
        raise PermissionError(ctypes.get_errno(), "inotify_add_watch")
    return "watched"


def touch(path: str) -> str:
    os.utime(path, (1, 1))
    return "touched"


def child(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def variables() -> str:
    return json.dumps(dict(os.environ))


def here() -> str:
    return str(Path.cwd())


TRIES: dict[str, Callable[..., str]] = {
    each.__name__: each
    for each in (
        look,
        lists,
        put,
        dial,
        end,
        mode,
        limit,
        priority,
        processors,
        scheduling,
        shared,
        watch,
        touch,
        child,
        variables,
        here,
    )
}


LISTS: dict[str, tuple[str, type[Any]]] = {
    "tools": ("on_list_tools", mcp_types.ListToolsResult),
    "prompts": ("on_list_prompts", mcp_types.ListPromptsResult),
    "resources": ("on_list_resources", mcp_types.ListResourcesResult),
    "resourceTemplates": ("on_list_resource_templates", mcp_types.ListResourceTemplatesResult),
}


def lister(listed: Path, member: str) -> Callable[..., Any]:
    async def answered(_ctx: Any, _params: Any) -> Any:
        return LISTS[member][1].model_validate({member: json.loads(look(str(listed))).get(member, [])})

    return answered


async def prompt(_ctx: Any, params: Any) -> mcp_types.GetPromptResult:
    text = mcp_types.TextContent(type="text", text=json.dumps(params.arguments or {}))
    return mcp_types.GetPromptResult(messages=[mcp_types.PromptMessage(role="user", content=text)])


async def read(_ctx: Any, params: Any) -> mcp_types.ReadResourceResult:
    text = mcp_types.TextResourceContents(uri=params.uri, text=f"of {params.uri}")
    return mcp_types.ReadResourceResult(contents=[text])


async def main(listed: Path) -> None:
    async def call(_ctx: Any, params: Any) -> mcp_types.CallToolResult:
        failed, text = False, ""
        try:
            text = TRIES[params.name](**(params.arguments or {}))
        except Exception as error:
            failed, text = True, f"{type(error).__name__}: {error}"
        return mcp_types.CallToolResult(content=[mcp_types.TextContent(type="text", text=text)], is_error=failed)

    has: dict[str, Any] = {"tools": True}
    with contextlib.suppress(OSError):  # it may not be allowed to read that
        has |= json.loads(look(str(listed)))
    handlers: dict[str, Any] = {on: lister(listed, member) for member, (on, _) in LISTS.items() if has.get(member)}
    handlers |= {"on_get_prompt": prompt} if has.get("prompts") else {}
    handlers |= {"on_read_resource": read} if has.get("resources") else {}
    server: Server[Any] = Server("trying", on_call_tool=call, **handlers)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(Path(sys.argv[1])))
