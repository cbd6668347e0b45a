"""`pdp tools`: the commands as people and scripts use them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from pdp.cli.tools import tools
from pdp.core.errors import Fault

SERVER = """
import asyncio
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

async def listing(ctx, params):
    return types.ListToolsResult(tools=[
        types.Tool(name="read", description="Reads\\u200b", input_schema={"type": "object", "properties": {}}),
        types.Tool(name="bad", input_schema={"type": "object", "properties": {"x": {"$ref": "#/$defs/none"}}}),
    ])

async def main():
    server = Server("test", on_list_tools=listing)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())

asyncio.run(main())
"""


def run(*args: Any) -> Result:
    return CliRunner().invoke(tools, [str(a) for a in args])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "review.yaml").write_text("reviewed_by: bob\ntools:\n  read: {risk: low, permissions: ['x:read']}\n")
    for name in ("alice", "bob"):
        assert run("keygen", name, "--out", tmp_path / "keys").exit_code == 0
    return tmp_path


def pin(home: Path, *more: Any) -> Result:
    fixed = ("--tenant", "acme", "--server", "srv", "--resource", "https://srv.example", "--owner", "platform")
    command = ("--", sys.executable, home / "server.py")
    return run("pin", *fixed, "--out", home / "set", "--review", home / "review.yaml", *more, *command)


def verify(home: Path, *more: Any) -> Result:
    author, reviewer = home / "keys/alice.pub.pem", home / "keys/bob.pub.pem"
    return run("verify", home / "set", "--key", f"author:{author}", "--key", f"reviewer:{reviewer}", *more)


def accept(home: Path) -> list[str]:
    """Accept what the scan finds in the bench's server, which has a hidden character on purpose."""
    found = json.loads(run("scan", home / "set", "--json").output)["findings"]
    ids = [one["id"] for one in found if one["severity"] == "high"]
    args = [part for one in ids for part in ("--accept", one)]
    assert run("scan", home / "set", *args, "--reason", "hidden on purpose").exit_code == 0
    return ids


def test_from_pin_to_verified(home: Path) -> None:
    pinned = pin(home, "--json")
    assert pinned.exit_code == 0, pinned.output
    shown = json.loads(pinned.output)
    assert shown["serial"] == 1
    by_name = {t["name"]: t for t in shown["tools"]}
    assert by_name["read"]["risk"] == "low"
    assert by_name["bad"]["risk"] == "critical"
    assert by_name["read"]["warnings"] == ["open schema", "hidden characters: zero_width"]
    assert by_name["bad"]["warnings"][0] == "schema does not compile: every call will be denied"
    refused = run("sign", home / "set", "--key", home / "keys/alice.pem", "--expires", "12h")
    assert getattr(refused.exception, "code", None) == "sign.findings"
    (accepted,) = accept(home)
    signed = run("sign", home / "set", "--key", home / "keys/alice.pem", "--expires", "12h")
    assert signed.exit_code == 0
    assert f"accepted finding {accepted} (hidden.zero_width) of srv/read: hidden on purpose" in signed.output
    half = verify(home, "--json")
    assert half.exit_code == 10
    assert json.loads(half.output)["problems"][0]["code"] == "registry.unsigned"
    late = run("sign", home / "set", "--key", home / "keys/bob.pem", "--expires", "90d")
    assert late.exit_code == 0
    assert "had no effect" in late.output
    whole = verify(home)
    assert whole.exit_code == 0
    assert "Everything verifies" in whole.output
    assert accepted in whole.output


def test_tables_are_for_people(home: Path) -> None:
    assert "not reviewed" in pin(home).output
    accept(home)
    run("sign", home / "set", "--key", home / "keys/alice.pem")
    shown = verify(home)
    assert shown.exit_code == 10
    assert "to fix:" in shown.output


def test_waivers(home: Path) -> None:
    pin(home)
    accept(home)
    for name in ("alice", "bob"):
        run("sign", home / "set", "--key", home / f"keys/{name}.pem")
    (home / "set/waivers.yaml").write_text(
        "waivers:\n  - {id: w1, code: args.open_schema, server: srv, owner: al, reason: old,"
        " expires: 2099-01-01T00:00:00Z}\n"
    )
    assert run("sign", home / "set", "--waivers", "--key", home / "keys/alice.pem").exit_code == 0
    assert verify(home).exit_code == 10
    signed = run("sign", home / "set", "--waivers", "--key", home / "keys/bob.pem", "--json")
    assert json.loads(signed.output)["signatures"] == 2
    assert verify(home).exit_code == 0


@pytest.mark.parametrize(
    "args",
    [
        ("keygen", "../x"),
        ("keygen", "alice", "--out", "keys"),
        ("sign", "set", "--key", "keys/alice.pem", "--expires", "1y"),
        ("verify", "set", "--key", "alice"),
        ("verify", "set", "--key", "author:nowhere.pem"),
        ("verify", "set"),
        ("pin", "--tenant", "a", "--server", "s", "--resource", "x:y", "--owner", "o", "--out", "set"),
    ],
)
def test_usage(home: Path, args: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "set").mkdir()
    monkeypatch.chdir(home)
    result = run(*args)
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_faults_are_faults(home: Path) -> None:
    result = run("sign", home, "--key", home / "keys/alice.pem")
    assert isinstance(result.exception, Fault)  # the entry point prints it and exits with 1
    assert result.exception.code == "sign.nothing"


def test_a_misspelt_option_is_told_before_anything_is_started(home: Path) -> None:
    started = home / "started"
    (home / "server.py").write_text(f"open({str(started)!r}, 'w').close()")
    for option, value in (("--peer", "spki:zz"), ("--server", "a b"), ("--resource", "nowhere")):
        found = pin(home, option, value)
        assert getattr(found.exception, "code", "") == "pin.malformed"
    assert not started.exists()


def test_the_public_key_signs_nothing(home: Path) -> None:
    pin(home)
    found = run("sign", home / "set", "--key", home / "keys/alice.pub.pem")
    assert isinstance(found.exception, Fault)
    assert "is a public key" in found.exception.message
