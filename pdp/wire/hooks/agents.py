"""Coding agents that run a command before each tool: what their events say, and where they are set up.

One `Agent` for each, by what its vendor documents (`checked`). For all of them exit code 2 blocks the call and its
standard error is the reason, so a refusal needs no format of its own; an allow is `proceed` on standard output, and
leaves the agent's own rules in force. An event that says less, or something else, than is documented is no call, and
is blocked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MCP = re.compile(r"mcp__([^_](?:_?[^_])*)__([^_](?:_?[^_])*)", re.ASCII)
_MAX_NAME = 256  # characters
_NOTHING = b"{}"
NOT_DECIDED = "The call could not be decided, so it is blocked."


class NotAnEventError(ValueError):
    """The event is none that is documented. The message says which member, and no value."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """A call as its agent announces it. `server` is the MCP server as the agent names it, "" for a tool of the
    agent's own; `started` is the command or URL of a server that the agent does not name; `folder` is where the
    agent works."""

    tool: str
    arguments: Mapping[str, Any]
    session: str
    server: str = ""
    started: str = ""
    folder: str = ""


@dataclass(frozen=True, slots=True)
class Agent:
    """One coding agent. `settings` is its user's file, below the home; `entry` makes of a command and a limit in
    seconds what stands there for each of `events`."""

    id: str
    title: str
    checked: str
    settings: str
    events: Mapping[str, Callable[[Mapping[str, Any]], HookCall]]
    proceed: bytes
    entry: Callable[[str, int], dict[str, Any]]
    version: int | None = None  # of the format of its settings, where it wants one

    def call(self, event: bytes) -> HookCall:
        """The call of an event. Raises NotAnEventError."""
        try:
            given = json.loads(event, parse_constant=_no_number, object_pairs_hook=_once)
        except (ValueError, RecursionError):
            raise NotAnEventError("the event: is no JSON object whose members stand once") from None
        if not isinstance(given, dict):
            raise NotAnEventError("the event: must be an object")
        name = given.get("hook_event_name")
        if not isinstance(name, str) or name not in self.events:
            raise NotAnEventError(f"hook_event_name: must be one of {', '.join(self.events)}")
        return self.events[name](given)


def _before_tool(given: Mapping[str, Any]) -> HookCall:
    """Claude Code and Codex. An MCP tool is `mcp__SERVER__TOOL`, which must have one reading."""
    name = _text(given, "tool_name")
    server, tool = "", name
    if name.startswith("mcp__"):
        found = _MCP.fullmatch(name)
        if found is None:
            raise NotAnEventError("tool_name: which part is the server's name is unclear; rename the server")
        server, tool = found[1], found[2]
    return HookCall(tool, _arguments(given), _text(given, "session_id"), server, folder=_folder(given))


def _gemini(given: Mapping[str, Any]) -> HookCall:
    context = given.get("mcp_context")
    session, folder = _text(given, "session_id"), _folder(given)
    if context is None:
        return HookCall(_text(given, "tool_name"), _arguments(given), session, folder=folder)
    if not isinstance(context, dict):
        raise NotAnEventError("mcp_context: must be an object")
    server = _text(context, "server_name")
    return HookCall(_text(context, "tool_name"), _arguments(given), session, server, folder=folder)


def _cursor_mcp(given: Mapping[str, Any]) -> HookCall:
    """Cursor gives the arguments as an object or as JSON, and tells servers by their command or URL."""
    given = {**given, "tool_input": _unpacked(given.get("tool_input"))}
    started = given.get("url") or given.get("command")
    if not isinstance(started, str) or not started:
        raise NotAnEventError("command, url: one must say which server is meant")
    return HookCall(_text(given, "tool_name"), _arguments(given), _text(given, "conversation_id"), started=started)


def _cursor_shell(given: Mapping[str, Any]) -> HookCall:
    arguments = {"command": _text(given, "command", None), "cwd": _folder(given)}
    return HookCall("Shell", arguments, _text(given, "conversation_id"))


def _cursor_read(given: Mapping[str, Any]) -> HookCall:
    return HookCall("Read", {"file_path": _text(given, "file_path", None)}, _text(given, "conversation_id"))


def _folder(given: Mapping[str, Any]) -> str:
    return _text(given, "cwd", None) if given.get("cwd") else ""


def _text(given: Mapping[str, Any], key: str, most: int | None = _MAX_NAME) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value or (most is not None and len(value) > most):
        raise NotAnEventError(f"{key}: must be a text that is not empty" + (f", of {most} at most" if most else ""))
    return value


def _arguments(given: Mapping[str, Any]) -> Mapping[str, Any]:
    value = given.get("tool_input")
    if not isinstance(value, dict):
        raise NotAnEventError("tool_input: must be an object")
    return value


def _unpacked(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_constant=_no_number, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise NotAnEventError("tool_input: is no JSON object whose members stand once") from None


def _no_number(_name: str) -> object:
    raise ValueError("no number of JSON")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers of a member that stands twice may read two values."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _matched(command: str, seconds: int, **more: Any) -> dict[str, Any]:
    return {"hooks": [{"type": "command", "command": command, "timeout": seconds, **more}]}


_AGENTS = (
    Agent(
        "claude-code",
        "Claude Code",
        "2.1.295",
        ".claude/settings.json",
        {"PreToolUse": _before_tool},
        _NOTHING,
        lambda command, seconds: {"matcher": "*", **_matched(command, seconds, onFailure="block")},
    ),
    Agent(
        "codex",
        "Codex CLI",
        "hooks of 2026-05",
        ".codex/hooks.json",
        {"PreToolUse": _before_tool},
        _NOTHING,
        _matched,
    ),
    Agent(
        "gemini",
        "Gemini CLI",
        "hooks reference of 2026-10",
        ".gemini/settings.json",
        {"BeforeTool": _gemini},
        _NOTHING,
        lambda command, seconds: {"matcher": ".*", **_matched(command, seconds * 1000, name="pdp")},
    ),
    Agent(
        "cursor",
        "Cursor",
        "3.21",
        ".cursor/hooks.json",
        {"beforeMCPExecution": _cursor_mcp, "beforeShellExecution": _cursor_shell, "beforeReadFile": _cursor_read},
        b'{"permission": "allow"}',
        lambda command, seconds: {"command": command, "timeout": seconds, "failClosed": True},
        version=1,
    ),
)
AGENTS: Mapping[str, Agent] = {agent.id: agent for agent in _AGENTS}


def installed(agent: Agent, settings: Mapping[str, Any], command: str, seconds: int, mark: str) -> dict[str, Any]:
    """`settings` with our hook for each event, in place of one whose command holds `mark`. Raises NotAnEventError for
    settings of another shape."""
    hooks = settings.get("hooks", {})
    if not isinstance(hooks, dict):
        raise NotAnEventError("hooks: must be an object")
    new = dict(hooks)
    for event in agent.events:
        before = new.get(event, [])
        if not isinstance(before, list):
            raise NotAnEventError(f"hooks.{event}: must be a list")
        new[event] = [each for each in before if mark not in json.dumps(each)] + [agent.entry(command, seconds)]
    whole = {**settings, "hooks": new}
    return {"version": agent.version, **whole} if agent.version is not None else whole
