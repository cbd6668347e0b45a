"""`pdp hook`: coding agents ask the decision point before each of their tools runs."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import click

from pdp.cli.commands import FOLDER, Commands, loading
from pdp.core.errors import ConfigurationFault
from pdp.local import hook as command
from pdp.local.place import CONFIG, state_of
from pdp.wire.hooks.agents import AGENTS, Agent

MARGIN = 90  # seconds that a hook may take longer than the call is held for people: its process may have to start


@click.group(
    cls=Commands,
    lazy={
        "install": ("pdp.cli.hook_install:install", "Have an agent ask before each of its tools runs."),
        "tools": (
            "pdp.cli.hook_install:tools_",
            (
                "Say what holds for each of an agent's own tools, by whose word and why; or, at a terminal, say "
                "otherwise."
            ),
        ),
        "status": (
            "pdp.cli.hook_install:status",
            "Say for each agent that is installed whose words count as the task, and which results are not seen.",
        ),
        "list": (
            "pdp.cli.hook_install:list_",
            (
                "An MCP server (stdio) that lists an agent's own tools and carries none out: `pdp tools pin -- pdp "
                "hook list claude-code`."
            ),
        ),
    },
)
def hook() -> None:
    """Coding agents ask the decision point before each of their tools runs.

    \b
    pdp hook install claude-code   writes the agent's settings
    pdp hook claude-code           what the agent starts: decides an event
    pdp hook serve                 the process that decides, which starts itself
    pdp hook list claude-code      lists the agent's own tools over MCP
    pdp hook tools claude-code     what holds for its tools; --set changes it
    pdp hook status                whose words count as the task, what stays open

    Agents: claude-code, codex, gemini, cursor.
    """


state_option = click.option("--state", type=FOLDER, help="Where everything is kept.  [~/.local/state/pdp]")


@hook.command("serve")
@state_option
def serve_(state: Path | None) -> None:
    """Serve the hooks and proxies of one state folder, for as long as they ask; started by them."""
    folder = state_of(state)
    if not (folder / "hooks").is_dir() and not (folder / CONFIG).exists():
        raise ConfigurationFault("hook.profile", "No hook is installed here. Run: pdp hook install AGENT")
    with loading():
        from pdp.local.resident import serve  # noqa: PLC0415 - of all that decides, and for this command alone

    asyncio.run(serve(folder))


def _asked(agent: Agent) -> click.Command:
    @click.command(agent.id, help=f"Decide one event of {agent.title}: standard input to standard output.")
    @state_option
    def ask(state: Path | None) -> None:
        sys.stdout.flush()
        os._exit(command.main([agent.id, "--state", str(state_of(state)), "--within", str(MARGIN)]))

    return ask


for _agent in AGENTS.values():
    hook.add_command(_asked(_agent))
