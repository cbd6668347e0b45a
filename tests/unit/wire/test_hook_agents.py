"""What agents say before a tool runs, as their vendors document it, and the settings that make them say it."""

import json
from pathlib import Path
from typing import Any

import pytest
from support.for_each import for_each

from pdp.registry.scan.scan import ScannedTool, scan
from pdp.wire.hooks.agents import AGENTS, HookCall, NotAnEventError, installed
from pdp.wire.hooks.own_tools import own_tool, own_tools, reaches

CLAUDE = {
    "session_id": "abc123",
    "transcript_path": "/home/ann/.claude/projects/x/abc123.jsonl",
    "cwd": "/home/ann/work",
    "permission_mode": "default",
    "hook_event_name": "PreToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "npm test", "description": "Run the tests", "timeout": 120000},
    "tool_use_id": "toolu_01ABC",
}
CODEX = {
    "session_id": "019a",
    "turn_id": "1",
    "transcript_path": None,
    "cwd": "/home/ann/work",
    "hook_event_name": "PreToolUse",
    "model": "m",
    "permission_mode": "default",
    "tool_name": "apply_patch",
    "tool_input": {"command": "*** Begin Patch\n*** End Patch"},
    "tool_use_id": "call_1",
}
GEMINI = {
    "session_id": "s",
    "transcript_path": "/t",
    "cwd": "/home/ann/work",
    "hook_event_name": "BeforeTool",
    "timestamp": "2026-10-01T10:00:00Z",
    "tool_name": "write_file",
    "tool_input": {"file_path": "a", "content": "b"},
}
GEMINI_MCP = {
    **GEMINI,
    "tool_name": "mcp_git_git_status",
    "tool_input": {"repo_path": "."},
    "mcp_context": {"server_name": "git", "tool_name": "git_status", "command": "mcp-server-git"},
}
CURSOR = {
    "conversation_id": "c",
    "generation_id": "g",
    "workspace_roots": ["/home/ann/work"],
    "hook_event_name": "beforeMCPExecution",
    "tool_name": "git_status",
    "tool_input": '{"repo_path": "."}',
    "command": "mcp-server-git --repository .",
}
CURSOR_SHELL = {
    "conversation_id": "c",
    "generation_id": "g",
    "hook_event_name": "beforeShellExecution",
    "command": "npm test",
    "cwd": "/home/ann/work",
}
CURSOR_READ = {
    "conversation_id": "c",
    "hook_event_name": "beforeReadFile",
    "file_path": "/home/ann/work/a",
    "content": "secret",
    "attachments": [],
}
AT = "/home/ann/work"


@pytest.mark.parametrize(
    ("agent", "event", "call"),
    [
        ("claude-code", CLAUDE, HookCall("Bash", CLAUDE["tool_input"], "abc123", folder=AT)),  # type: ignore[arg-type]
        (
            "claude-code",
            {**CLAUDE, "tool_name": "mcp__git-1__git_status"},
            HookCall("git_status", CLAUDE["tool_input"], "abc123", "git-1", folder=AT),  # type: ignore[arg-type]
        ),
        ("codex", CODEX, HookCall("apply_patch", CODEX["tool_input"], "019a", folder=AT)),  # type: ignore[arg-type]
        ("gemini", GEMINI, HookCall("write_file", GEMINI["tool_input"], "s", folder=AT)),  # type: ignore[arg-type]
        ("gemini", GEMINI_MCP, HookCall("git_status", {"repo_path": "."}, "s", "git", folder=AT)),
        ("cursor", CURSOR, HookCall("git_status", {"repo_path": "."}, "c", started="mcp-server-git --repository .")),
        (
            "cursor",
            {**CURSOR, "tool_input": {"a": 1}},
            HookCall("git_status", {"a": 1}, "c", started=CURSOR["command"]),
        ),  # type: ignore[arg-type]
        ("cursor", CURSOR_SHELL, HookCall("Shell", {"command": "npm test", "cwd": AT}, "c")),
        ("cursor", CURSOR_READ, HookCall("Read", {"file_path": "/home/ann/work/a"}, "c")),
    ],
)
def test_documented_events(agent: str, event: dict[str, Any], call: HookCall) -> None:
    assert AGENTS[agent].call(json.dumps(event).encode()) == call


@pytest.mark.parametrize("event", [CLAUDE, CODEX, GEMINI, GEMINI_MCP, CURSOR, CURSOR_SHELL, CURSOR_READ])
def test_an_event_that_lacks_what_decides_is_none(event: dict[str, Any]) -> None:
    agent = AGENTS[{"PreToolUse": "claude-code", "BeforeTool": "gemini"}.get(event["hook_event_name"], "cursor")]
    agent.call(json.dumps(event).encode())
    needed = {
        "session_id",
        "conversation_id",
        "hook_event_name",
        "tool_name",
        "tool_input",
        "mcp_context",
        "file_path",
    }
    needed |= {"command"} if "tool_input" not in event or agent.id == "cursor" else set()
    for key in needed & event.keys():
        if key == "tool_name" and "mcp_context" in event:
            continue  # the context says which
        for wrong in (None, 7, [], ""):
            if key == "mcp_context" and wrong is None:
                continue  # a tool of the agent's own has none
            with pytest.raises(NotAnEventError):
                agent.call(json.dumps({**event, key: wrong}).encode())


@pytest.mark.parametrize(
    "event",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"null",
        pytest.param(b"[" * 100_000, id="deep"),
        json.dumps({**CLAUDE, "hook_event_name": "PostToolUse"}).encode(),
        json.dumps(CLAUDE).replace('"Bash"', '"Read", "tool_name": "Bash"').encode(),
        json.dumps(CLAUDE).replace("120000", "NaN").encode(),
    ],
)
def test_what_is_no_event_is_none(event: bytes) -> None:
    with pytest.raises(NotAnEventError):
        AGENTS["claude-code"].call(event)


@pytest.mark.parametrize("name", ["mcp__a__b__c", "mcp__a___b", "mcp__a", "mcp____b", "mcp__a__", "mcp___a__b"])
def test_a_name_that_two_servers_could_mean_is_refused(name: str) -> None:
    """A server could else name a tool so that another one's is decided."""
    with pytest.raises(NotAnEventError, match="unclear"):
        AGENTS["claude-code"].call(json.dumps({**CLAUDE, "tool_name": name}).encode())


@pytest.mark.parametrize("agent", AGENTS.values(), ids=lambda agent: agent.id)
def test_settings_keep_what_the_user_has(agent: Any) -> None:
    event = next(iter(agent.events))
    theirs = {"matcher": "Bash", "hooks": [{"type": "command", "command": "lint"}]}
    before = {"model": "x", "hooks": {event: [theirs], "Stop": [theirs]}}
    once = installed(agent, before, "python local/hook.py a", 60, "local/hook.py")
    again = installed(agent, once, "python local/hook.py b", 60, "local/hook.py")
    assert again["model"] == "x"
    assert again["hooks"]["Stop"] == [theirs]
    for name in agent.events:
        ours = [each for each in again["hooks"][name] if each != theirs]
        assert len(ours) == 1
        assert "python local/hook.py b" in json.dumps(ours)
    assert theirs in again["hooks"][event]
    assert before["hooks"] == {event: [theirs], "Stop": [theirs]}


def test_failures_block_where_the_agent_lets_them() -> None:
    assert "block" in json.dumps(AGENTS["claude-code"].entry("c", 9))
    assert AGENTS["cursor"].entry("c", 9)["failClosed"] is True
    assert AGENTS["gemini"].entry("c", 9)["hooks"][0]["timeout"] == 9_000  # milliseconds, as documented


@pytest.mark.parametrize("hooks", [[], {"PreToolUse": {}}, "x"])
def test_settings_of_another_shape_are_left_alone(hooks: Any) -> None:
    with pytest.raises(NotAnEventError):
        installed(AGENTS["claude-code"], {"hooks": hooks}, "c", 9, "local/hook.py")


def test_own_tools_have_definitions_and_name_their_paths() -> None:
    for agent in AGENTS:
        for tool in own_tools(agent):
            assert {*tool.paths, *tool.texts} <= set(tool.definition["inputSchema"]["properties"])
            assert tool.answer == "asks" or not tool.network
        # `pdp hook install` takes what it finds for a likeness of two agents' tools
        assert scan([ScannedTool(agent, tool.definition) for tool in own_tools(agent)]) == ()
    assert own_tool("claude-code", "bash") is None


STATE = Path("/home/ann/state")


def reached(
    tool: str,
    arguments: dict[str, Any],
    at: str = "/w",
    state: Path = STATE,
    agent: str = "claude-code",
    homes: tuple[Path, ...] = (Path.home(),),
) -> bool:
    known = own_tool(agent, tool)
    assert known is not None
    return reaches(known, arguments, at, state, homes)


@for_each(
    ("tool", "arguments", "at"),
    [
        ("Read", {"file_path": "/home/ann/state/keys/author.pem"}, "/w"),
        ("Read", {"file_path": "../ann/state/pdp.yaml"}, "/home/bob"),
        ("Read", {"file_path": "/home/ann/work/../state/x"}, ""),
        ("Read", {"file_path": "relative"}, ""),
        ("Read", {"file_path": 7}, "/home/ann/state"),
        ("Read", {"file_path": " /home/ann/state/keys"}, "/w"),
        ("Read", {"file_path": "FILE:///home/ann/st%61te/keys"}, "/w"),
        ("Read", {"file_path": "file://localhost/home/ann/state/keys"}, "/w"),
        ("Read", {"file_path": "/home/ann/State/keys"}, "/w"),
        ("Read", {"file_path": "x", "path": "/home/ann/state/keys"}, "/w"),
        ("Read", {"file_path": "x", "more": {"of": ["/home/ann/state/keys"]}}, "/w"),
        ("Read", {"file_path": "x", "more": {"/home/ann/state/keys": True}}, "/w"),
        ("Read", {"file_path": "/proc/self/environ"}, "/w"),
        ("Read", {"file_path": "/proc/1/mem"}, "/w"),
        ("Read", {"file_path": "\0"}, "/w"),
        ("Read", {"file_path": "~nobody-of-this-name/x"}, "/w"),
        ("Write", {"file_path": "/home/ann/state/policy/packs/x.rego", "content": ""}, "/w"),
        ("Grep", {"pattern": "-----BEGIN"}, "/home/ann"),
        ("Grep", {"pattern": "x", "path": "/proc"}, "/w"),
        ("Grep", {"pattern": "x", "glob": "/home/ann/state/**"}, "/w"),
        ("Grep", {"pattern": "x", "path": "/w", "glob": "../home/ann/*/keys/*"}, "/w"),
        ("Glob", {"pattern": "*", "path": "/"}, "/w"),
        ("Glob", {"pattern": "/**"}, "/w"),
        ("Glob", {"pattern": "/home/ann/state/**"}, "/w"),
        ("Glob", {"pattern": "/home/*/state/keys/*"}, "/w"),
        ("Glob", {"pattern": "/home/ann/st?te/keys/*"}, "/w"),
        ("Glob", {"pattern": "/home/ann/st[a-z]te/keys/*"}, "/w"),
        ("Glob", {"pattern": "/home/ann/{work,state}/keys/*"}, "/w"),
        ("Glob", {"pattern": "{x,/home/{bob,ann}/state}/keys/*"}, "/w"),
        ("Glob", {"pattern": "/home/ann/@(state|work)/*"}, "/w"),
        ("Glob", {"pattern": "/home/ann/st\\ate/keys/*"}, "/w"),
        ("Glob", {"pattern": "state/keys/*", "path": "/home/ann/work/../."}, "/w"),
        ("Glob", {"pattern": "*/../../home/ann/state/*"}, "/w"),
        ("Glob", {"pattern": "/pro?/*/environ"}, "/w"),
        ("Glob", {"pattern": "{a,b}" * 20}, "/w"),
        ("Glob", {"pattern": "{a,b" * 3_000}, "/w"),
        ("Read", {"file_path": "x", "more": "{" * 1_000_000}, "/w"),
        ("Read", {"file_path": "{a,b}" * 10 + "x" * 100_000}, "/w"),
        ("Read", {"file_path": "/w/" + "a/" * 1_000_000}, "/w"),
        ("Read", {"file_path": "x", "more": ["a/" * 3_000] * 1_000}, "/w"),
    ],
)  # fmt: skip
def test_calls_that_reach_the_state_folder(tool: str, arguments: dict[str, Any], at: str) -> None:
    assert reached(tool, arguments, at)


@pytest.mark.parametrize(
    ("tool", "arguments", "at"),
    [
        ("Read", {"file_path": "/home/ann/statement"}, "/w"),
        ("Read", {"file_path": "/w/app/[id]/(auth)/page.tsx"}, "/w"),
        ("Read", {"file_path": "/proc/cpuinfo"}, "/w"),
        ("Read", {"file_path": "a", "pages": "1-5"}, "/home/ann"),
        ("Grep", {"pattern": "/home/ann/state", "path": "/home/ann/work"}, "/home/ann"),
        ("Grep", {"pattern": "x", "glob": "!**/node_modules/**", "output_mode": "content"}, "/home/ann/work"),
        ("Glob", {"pattern": "**/*.{ts,tsx}"}, "/home/ann/work"),
        ("Glob", {"pattern": "src/{a..z}/*"}, "/home/ann/work"),
        ("Glob", {"pattern": "src/{a,{b,c}/d}/}x{y,z"}, "/home/ann/work"),
        ("Glob", {"pattern": "/home/ann/*.py"}, "/w"),
        ("Glob", {"pattern": "../other/**"}, "/home/ann/work"),
        ("Edit", {"file_path": "a", "old_string": "/home/ann/state", "new_string": "~/state"}, "/home/ann/work"),
        ("Bash", {"command": "cat /home/ann/state/pdp.yaml"}, "/w"),  # asked about, and never read by us
    ],
)
def test_calls_that_do_not_reach_it(tool: str, arguments: dict[str, Any], at: str) -> None:
    assert not reached(tool, arguments, at)


@pytest.mark.parametrize(
    "spelt", ["~/{}", "~root/../{}", "$HOME/{}", "${{HOME}}/{}", "$XDG_STATE_HOME/pdp", "~/**", "~/*/state/pdp/*"]
)
def test_names_of_a_home_are_expanded_wherever_the_agent_works(spelt: str) -> None:
    state = Path.home() / ".local" / "state" / "pdp"
    spelt = spelt.format(state.relative_to(Path.home()))
    if spelt.startswith("~root"):
        spelt = f"~root/../{state.relative_to('/')}"
    for tool, name in (("Read", "file_path"), ("Glob", "pattern"), ("Grep", "path"), ("Grep", "glob")):
        assert reached(tool, {name: spelt}, "/w", state)
    assert reached("read_many_files", {"include": ["a", spelt]}, "/w", state, "gemini")
    assert reached("read_file", {"absolute_path": spelt}, "/w", state, "gemini")
    assert not reached("read_many_files", {"include": ["a", "~/x"], "exclude": ["**"]}, "/w", state, "gemini")


@for_each("spelt", ["~/state/pdp.yaml", "$HOME/state", "${HOME}/st?te/*", "~/{work,state}/x", "!~/state"])
def test_a_home_is_any_that_the_agent_may_have(spelt: str) -> None:
    """HOME is not the account's home for each agent, and which of the two it goes by is not known."""
    for homes in ((Path("/root"), Path("/home/ann")), (Path("/home/ann"), Path("/root"))):
        assert reached("Glob", {"pattern": spelt}, homes=homes)
    assert not reached("Glob", {"pattern": spelt}, homes=(Path("/root"),))


def test_links_are_followed_before_and_after_what_leads_up(tmp_path: Path) -> None:
    state = tmp_path.resolve() / "state"
    state.mkdir()
    (tmp_path / "link").symlink_to(state)
    (tmp_path / "elsewhere").symlink_to("/usr/lib")
    for spelt in ("link/keys/author.pem", "elsewhere/../state/keys", "[x]/../link/keys"):
        assert reached("Read", {"file_path": spelt}, str(tmp_path), state)
    (tmp_path / "[x]").symlink_to(state)
    assert reached("Read", {"file_path": "[x]/keys"}, str(tmp_path), state)
