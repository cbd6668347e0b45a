"""A process with one agent framework, which carries out runs of agents for tests: `driver.py NAME SOCKET`.

It runs in the framework's own environment. Each connection is one run, in lines of JSON. Asked: `call` (a fresh agent
whose model calls one tool and then ends) or `resume` (the run that waits goes on, with other arguments if given).
Answered: `waiting` (what the interrupt carries, or None), `told` (what the model got of the call), `also` (of the
second one of the turn) and `ran`.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pdp.client import Client, Session
from pdp.client.frameworks.tool_guard import RunIdentity, ToolGuard

RUNS_END = 60.0  # seconds in which what runs have started ends, on a busy machine
STATES = ["waiting", "told", "also"]


@dataclass
class Run:
    """What one run is about. `tools` are plain functions; they note what they carry out in `ran`."""

    guard: ToolGuard
    identity: RunIdentity
    tool: str
    arguments: dict[str, Any]
    returns: str = "carried out"
    fails: bool = False
    also: list[Any] = field(default_factory=list)  # tool and arguments of a second call in the same turn
    note: str = ""
    asked: Mapping[str, Any] = field(default_factory=dict)  # all that the test said
    ran: list[Any] = field(default_factory=list)

    @property
    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(id, tool, arguments) of what the model calls in its one turn."""
        second = [("call_2", *self.also)] if self.also else []
        return [("call_1", self.tool, self.arguments), *second]

    @property
    def tools(self) -> list[Callable[..., str]]:
        def git_status(repo_path: str) -> str:
            """Status of a repository."""
            return self._carry_out("git_status", {"repo_path": repo_path})

        def git_reset(repo_path: str) -> str:
            """Resets a repository."""
            return self._carry_out("git_reset", {"repo_path": repo_path})

        def git_log(max_count: int) -> str:
            """The latest commits."""
            return self._carry_out("git_log", {"max_count": max_count})

        def probe() -> str:
            """Notes that it ran."""
            return self._carry_out("probe", {})

        return [git_status, git_reset, git_log, probe]

    def _carry_out(self, tool: str, arguments: dict[str, Any]) -> str:
        self.ran.append([tool, arguments])
        if self.note:
            with Path(self.note).open("a") as file:
                file.write("ran")
        if self.fails:
            raise RuntimeError(self.returns)
        return self.returns


def begun(agents: Any, asked: dict[str, Any]) -> tuple[Client, Run]:
    client = Client(asked["target"], token=asked["caller"] or None, timeout=asked["timeout"])
    prefix = getattr(agents, "PREFIX", "")  # of this framework's own names
    definitions = {prefix + name: definition for name, definition in asked["definitions"].items()}
    guard = ToolGuard(client, getattr(agents, "SERVER", asked["server"]), definitions)
    session = Session(asked["session"]) if "session" in asked else None
    identity = RunIdentity(
        asked["token"] or None, session, asked["run"], ends=session is not None, task=asked.get("task")
    )
    names = ("tool", "arguments", "returns", "fails", "also", "note")
    return client, Run(guard, identity, asked=asked, **{name: asked[name] for name in names if name in asked})


async def serve(agents: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    client, run, agent = None, None, None
    try:
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["do"] == "call":
                await end(agent, client)
                client, run = begun(agents, asked)
                agent = agents.Agent(run)
            assert run is not None
            assert agent is not None
            try:
                state = await (agent.start() if asked["do"] == "call" else agent.resume(asked["arguments"]))
            except RuntimeError:
                if not run.fails:
                    raise
                state = (None, None)  # the tool's own failure ended the run
            answer = {"ran": run.ran, **dict(zip(STATES, state, strict=False))}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
    finally:
        writer.close()
        await end(agent, client)


async def end(agent: Any, client: Client | None) -> None:
    """End what an agent has started, if there is one; some have a process of their own."""
    if hasattr(agent, "close"):
        await agent.close()
    if client is not None:
        client.close()


async def main(name: str, path: str) -> None:
    agents, runs, over = (
        importlib.import_module(name),
        dict[asyncio.Task[None], asyncio.StreamWriter](),
        asyncio.Event(),
    )

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        run = asyncio.create_task(serve(agents, reader, writer))
        runs[run] = writer
        run.add_done_callback(runs.pop)

    await asyncio.start_unix_server(begin, path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()  # the test has ended
    for writer in runs.values():
        writer.close()
    if runs:  # processes of their agents are not left behind
        await asyncio.wait(runs, timeout=RUNS_END)
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
