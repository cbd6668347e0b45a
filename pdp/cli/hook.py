"""`pdp hook`: coding agents ask the decision point before each of their tools runs."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from pdp.cli.commands import FILE, FOLDER, IN_FILE, Commands
from pdp.cli.hook_serve import HookProfile, profile_file, read_profile, serve
from pdp.cli.proxy_pin import accept_findings, explained, open_findings
from pdp.core.bytes.digest import digest
from pdp.core.errors import ConfigurationFault
from pdp.host.confinement import homes
from pdp.local import hook as command
from pdp.local import installed as local
from pdp.local.installation import CONFIG
from pdp.local.installed import Answer, LocalInstallation
from pdp.local.provenance import DISABLED, KERNEL_TELLS
from pdp.registry.files import write_file
from pdp.registry.manifest import without_meta
from pdp.registry.scan.scan import ScannedTool, scan
from pdp.wire.hooks import agents
from pdp.wire.hooks.agents import AGENTS, Agent, NotAnEventError
from pdp.wire.hooks.own_tools import OwnTool, own_tools

_MARGIN = 90  # seconds that a hook may take longer than the call is held for people: its process may have to start
_EARLIER = 10  # seconds by which a hook ends itself before its agent ends it
_APART = "Tools of agents' own: no model is listed those of two agents."
_SAID: Mapping[Answer, str] = {"reads": "goes through", "asks": "waits for you", "never": "refused"}


@click.group(cls=Commands)
def hook() -> None:
    """Coding agents ask the decision point before each of their tools runs.

    \b
    pdp hook install claude-code   writes the agent's settings
    pdp hook claude-code           what the agent starts: decides an event
    pdp hook serve                 the process that decides, which starts itself
    pdp hook list claude-code      lists the agent's own tools over MCP
    pdp hook status                whose words count as the task, what stays open

    Agents: claude-code, codex, gemini, cursor.
    """


def _state(given: Path | None) -> Path:
    return (given or local.state_folder(os.environ)).absolute()


_state_option = click.option("--state", type=FOLDER, help="Where everything is kept.  [~/.local/state/pdp]")


@hook.command("serve")
@_state_option
def serve_(state: Path | None) -> None:
    """Serve the hooks and proxies of one state folder, for as long as they ask; started by them."""
    folder = _state(state)
    if not (folder / "hooks").is_dir() and not (folder / CONFIG).exists():
        raise ConfigurationFault("hook.profile", "No hook is installed here. Run: pdp hook install AGENT")
    asyncio.run(serve(folder))


@hook.command("status")
@_state_option
def status(state: Path | None) -> None:
    """Say for each agent that is installed whose words count as the task, and which results are not seen."""
    folder = _state(state)
    found = [agent for agent in AGENTS.values() if profile_file(folder, agent.id).exists()]
    if not found:
        raise ConfigurationFault("hook.profile", "No hook is installed here. Run: pdp hook install AGENT")
    for agent in found:
        profile = read_profile(folder, agent.id)
        own = profile.target is None
        click.echo(f"{agent.title}: {_task_of(agent)}")
        if profile.home is not None:
            click.echo(f"  {_elsewhere(profile.home)}")
        click.echo(f"  Results are inspected after each call. Not seen, or shown all the same: {agent.unseen}.")
        if own and not local.load(folder).inspects_results:
            click.echo(
                "  Your decision point takes every session for one that has read untrusted and private data: add "
                "`inspects_results: true` to its caller `hook` in pdp.yaml."
            )
        if own and not local.load(folder).vouches_for_tasks:
            click.echo(
                "  Your decision point takes every task for the agent's own word: add `task: true` to "
                "`may_assert` of its caller `hook` in pdp.yaml."
            )
    click.echo("What stays open, for whoever runs programs as you (an approved command of the agent among them):")
    for line in _OPEN:
        click.echo(f"  - {line}")


_OPEN = (
    "typing for you: into the agent's terminal (a multiplexer's send-keys), window or clipboard",
    "starting an agent of its own, outside of yours, which then has the task that it was given, and its own calls",
    "tracing the agent's process (where kernel.yama.ptrace_scope is 0), or changing its program or settings",
    "a debugger that the agent's program opens by itself while it runs",
    "for Codex: being started by it outside of its sandbox before its first call, as MCP servers and other hooks are",
    "for Codex: ending the process behind the hooks, and speaking before you do",
    "what you paste, which counts as said by you",
)


def _task_of(agent: Agent) -> str:
    if not KERNEL_TELLS:
        return "this system does not tell who writes to a hook, so every prompt counts as the agent's own word."
    if agent.sends == "pipe":
        return (
            "the first prompt counts as yours, where the agent has made no call and starts the hook outside of its "
            "sandbox; any other as the agent's own word."
        )
    return (
        "a prompt counts as yours where the agent's own process wrote it, and no debugger lets other programs into "
        "that process; any other as the agent's own word. Node, Bun and Deno may open one at SIGUSR1. Of an agent "
        f"that runs on Node none counts, unless Node was started with {DISABLED} (22.14 or later); hook.log says so."
    )


@hook.command("list")
@click.argument("agent", type=click.Choice(sorted(AGENTS)))
def list_(agent: str) -> None:
    """An MCP server (stdio) that lists an agent's own tools and carries none out: `pdp tools pin -- pdp hook list
    claude-code`."""
    asyncio.run(_listed(agent))


async def _listed(agent: str) -> None:
    import mcp_types  # noqa: PLC0415 - slow, and for this command alone
    from mcp.server import Server  # noqa: PLC0415 - likewise
    from mcp.server.stdio import stdio_server  # noqa: PLC0415 - likewise

    tools = [mcp_types.Tool.model_validate(each.definition) for each in own_tools(agent)]

    async def listed(_ctx: Any, _params: Any) -> mcp_types.ListToolsResult:
        return mcp_types.ListToolsResult(tools=tools)

    server: Server[Any] = Server(agent, on_list_tools=listed)
    async with stdio_server() as (incoming, outgoing):
        await server.run(incoming, outgoing, server.create_initialization_options())


def _asked(agent: Agent) -> click.Command:
    @click.command(agent.id, help=f"Decide one event of {agent.title}: standard input to standard output.")
    @_state_option
    def ask(state: Path | None) -> None:
        sys.stdout.flush()
        os._exit(command.main([agent.id, "--state", str(_state(state)), "--within", str(_MARGIN)]))

    return ask


for _agent in AGENTS.values():
    hook.add_command(_asked(_agent))


@hook.command("install")
@click.argument("agent", type=click.Choice(sorted(AGENTS)))
@_state_option
@click.option("--settings", type=FILE, help="Another file of the agent's.")
@click.option("--proxied", multiple=True, help="MCP server that `pdp proxy` decides, as the agent names it.")
@click.option(
    "--mcp",
    "servers",
    multiple=True,
    help="ID=NAME: id in the registry of the MCP server that the agent knows by this name, command or URL.",
)
@click.option("--ask", "asks", multiple=True, help="Tool of the agent's own that waits for you.")
@click.option("--never", "nevers", multiple=True, help="Tool of the agent's own that is refused.")
@click.option("--server", help="Id of the agent's own tools in the registry.  [the agent's name]")
@click.option(
    "--patience", type=click.FloatRange(0, 500), default=25.0, show_default=True, help="Seconds for people."
)
@click.option("--target", help="unix:/PATH, 127.0.0.1:PORT, or HOST:PORT with --ca; without it, one of your own.")
@click.option("--caller-token-file", type=IN_FILE, help="The hook's own caller token; read for every question.")
@click.option("--bearer-file", type=IN_FILE, help="The user's access token; read for every question.")
@click.option("--observe", is_flag=True, help="Carry out what policy does not bind in a pilot; see docs/pilot.md.")
@click.option("--ca", type=IN_FILE, help="PEM of who signs the decision point's certificate.")
@click.option("--certificate", type=IN_FILE, help="The hook's certificate, instead of a caller token; with --key.")
@click.option("--key", type=IN_FILE, help="Its private key.")
def install(
    *,
    agent: str,
    state: Path | None,
    settings: Path | None,
    servers: tuple[str, ...],
    asks: tuple[str, ...],
    nevers: tuple[str, ...],
    server: str | None,
    **named: Any,
) -> None:
    """Have an agent ask before each of its tools runs.

    Without --target the decision point is one of your own: you see what is proposed for each tool of the agent's own,
    say otherwise by --ask and --never, and sign. MCP servers are read and signed by `pdp proxy --pin`; those behind
    `pdp proxy` are named by --proxied.
    """
    which, folder = AGENTS[agent], _state(state)
    file = (settings or Path.home() / which.settings).absolute()
    before = _settings(file)
    named["home"] = Path.home() if len(homes()) > 1 else None
    named |= {name: value.absolute() for name, value in named.items() if isinstance(value, Path)}
    profile = _profile(
        which, server, dict(_pair(each) for each in servers), {**named, "proxied": list(named["proxied"])}
    )
    new = _installed(which, before, folder, profile.patience)
    if profile.target is None:
        _own(which, folder, asks, nevers)
    elif asks or nevers:
        raise click.UsageError("--ask and --never are about a decision point of your own; leave out --target")
    else:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "hooks").mkdir(mode=0o700, exist_ok=True)
    write_file(profile_file(folder, agent), profile.model_dump_json(indent=2, exclude_none=True).encode())
    file.parent.mkdir(parents=True, exist_ok=True)
    write_file(file, json.dumps(new, indent=2, ensure_ascii=False).encode() + b"\n")
    click.echo(f"{which.title} asks from its next start on: {file} says so.")
    if profile.home is not None:
        click.echo(_elsewhere(profile.home))
    click.echo(f"Results are inspected. Not seen, or shown all the same: {which.unseen}.")
    click.echo(_worth(profile))


def _elsewhere(home: Path) -> str:
    """What is said of a HOME that is not the account's."""
    return (
        f"HOME was {home}, which is not your account's home: settings were written for an agent that is started with "
        "this HOME, and one that is started with another asks nobody."
    )


def _worth(profile: HookProfile) -> str:
    if profile.target is not None:
        return "A hook holds an agent that does not try to get out; docs/hooks.md says what it is worth."
    return (
        "What waits for you: pdp approvals list. The keys of your decision point lie in no file and no memory that "
        "your programs read. What stays open: a program that runs as you, such as a command of the agent that you "
        "approve, could ask it for your tokens and answer for you, write policy, or change the agent's settings; "
        "docs/hooks.md says what this is worth."
    )


def _profile(agent: Agent, server: str | None, servers: Mapping[str, str], named: Mapping[str, Any]) -> HookProfile:
    given = {name: value for name, value in named.items() if value is not None}
    if named["target"] is None and set(given) & {"caller_token_file", "bearer_file", "ca", "certificate", "key"}:
        raise click.UsageError("--caller-token-file, --bearer-file, --ca, --certificate and --key go with --target")
    if named["target"] is None and named["observe"]:
        raise click.UsageError("--observe is about a decision point of your organisation: give --target")
    if named["target"] is not None and named["caller_token_file"] is None and named["certificate"] is None:
        raise click.UsageError("say what asks: --caller-token-file, or --certificate with --key")
    try:
        return HookProfile(agent=agent.id, server=server or agent.id, servers=dict(servers), **given)
    except ValueError:
        raise click.UsageError("--server, --mcp: an id has letters, digits, '.', '_' and '-'") from None


def _pair(given: str) -> tuple[str, str]:
    """(name, id) of ID=NAME."""
    id_, equals, name = given.partition("=")
    if not equals or not name:
        raise click.UsageError("--mcp: give ID=NAME")
    return name, id_


def _settings(file: Path) -> dict[str, Any]:
    """The agent's settings as they are. Raises UsageError for what cannot be kept."""
    try:
        given = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except (ValueError, OSError):
        raise click.UsageError(f"{file.name}: cannot be read as JSON; mend it first. Nothing was changed.") from None
    if not isinstance(given, dict):
        raise click.UsageError(f"{file.name}: holds no object; mend it first. Nothing was changed.")
    return given


def _installed(agent: Agent, before: Mapping[str, Any], folder: Path, patience: float) -> dict[str, Any]:
    script = str(Path(command.__file__).resolve())
    seconds = int(patience) + _MARGIN
    options = ["--state", str(folder), "--within", str(seconds - _EARLIER)]
    line = shlex.join([sys.executable, "-I", "-S", script, agent.id, *options])
    try:
        return agents.installed(agent, before, line, seconds, "hook.py")
    except NotAnEventError as error:
        raise click.UsageError(f"the agent's settings: {error}. Nothing was changed.") from None


def _own(agent: Agent, folder: Path, asks: Sequence[str], nevers: Sequence[str]) -> None:
    """Have the user read what the agent's own tools may do, and sign it."""
    tools = own_tools(agent.id)
    names = {each.name for each in tools}
    if unknown := sorted({*asks, *nevers} - names):
        raise click.UsageError(
            f"--ask, --never: {agent.title} has no tool {unknown[0]}; it has {', '.join(sorted(names))}"
        )
    answers = {each.name: _answer(each, asks, nevers) for each in tools}
    home, now = _opened(folder), time.time_ns()
    if home is not None and home.signed(now) and _answered(home, agent.id, tools, answers):
        return
    click.echo(f"The tools of {agent.title}'s own, as far as they are known; any other is refused:")
    for each in tools:
        click.echo(f"  {each.name}: {_SAID[answers[each.name]]}.  {each.definition['description']}")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("you read and sign this: run it yourself, at a terminal. Nothing was changed.")
    offered = [ScannedTool(agent.id, each.definition) for each in tools]
    others = [each for each in home.tools() if each.server != agent.id] if home is not None else []
    kept = [each for each in offered if answers[each.name] != "never"]
    findings = scan([*others, *kept])
    reasons = _alike(others, kept)
    if home is not None:
        reasons |= explained([one for one in open_findings(home, findings) if one.id not in reasons])
    click.confirm("Sign this as read by you?", abort=True)
    home = home or local.create(folder)
    accept_findings(home, findings, reasons)
    outward = {each.name for each in tools if each.network}
    home.keep(agent.id, offered, answers, outward, now, own=True)


def _alike(others: Sequence[ScannedTool], kept: Sequence[ScannedTool]) -> dict[str, str]:
    """Findings of the tools of agents' own that are like another agent's, and why that is harmless."""
    own = [ScannedTool(agent, each.definition) for agent in AGENTS for each in own_tools(agent)]
    return {one.id: _APART for one in scan([*(each for each in others if each in own), *kept])}


def _answer(tool: OwnTool, asks: Sequence[str], nevers: Sequence[str]) -> Answer:
    return "never" if tool.name in nevers else "asks" if tool.name in asks else tool.answer


def _answered(home: LocalInstallation, agent: str, tools: Sequence[OwnTool], answers: Mapping[str, Answer]) -> bool:
    """Whether exactly this was pinned last."""
    wanted = {each.name: (digest(without_meta(each.definition)), answers[each.name]) for each in tools}
    return home.answers(agent) == wanted


def _opened(folder: Path) -> LocalInstallation | None:
    try:
        return local.load(folder)
    except ConfigurationFault as fault:
        if fault.code != "local.none":
            raise
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return None
