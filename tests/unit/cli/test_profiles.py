"""Profiles: where a command asks and as whom, from a file that is its user's alone, or from variables."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.profiles import profile

from pdp.cli.main import cli

OPERATOR = {"target": "unix:none.sock", "caller_token_file": "token"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with a token beside the profiles."""
    for name in list(os.environ):
        if name.startswith("PDPCTL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "pdp").mkdir()
    (tmp_path / "pdp/token").write_text("a.b.c")
    return tmp_path / "pdp"


def run(*words: str, **env: str) -> Result:
    return CliRunner().invoke(cli, list(words), env=env)


def asked_at(done: Result, address: str) -> bool:
    return done.exit_code == 1 and f"does it listen at unix:{address}?" in done.output


def test_a_profile_is_found_by_its_name(home: Path) -> None:
    profile(home, "operator", **OPERATOR)
    assert asked_at(run("status", "--profile", "operator"), f"{home}/none.sock")
    assert asked_at(run("status", PDPCTL_PROFILE="operator"), f"{home}/none.sock")


def test_a_profile_is_taken_whole(home: Path) -> None:
    """A token that is set for one server goes to no other."""
    variables = {"PDPCTL_TARGET": "unix:/other.sock", "PDPCTL_CALLER_TOKEN_FILE": str(home / "token")}
    assert asked_at(run("status", **variables), "/other.sock")
    profile(home, "operator", **OPERATOR)
    assert asked_at(run("status", "--profile", "operator", **variables), f"{home}/none.sock")
    profile(home, "nobody", target="unix:/x")
    done = run("status", "--profile", "nobody", **variables)
    assert (done.exit_code, "profile nobody: say who asks" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "docs/operate.md#profiles shows such a file"),
        ("[operator", "is no TOML"),
        ("x = 1", "has no [operator]; it has ['x']"),
        ("operator = 'unix:/x'", "has no [operator]"),
        ("[operator]\naddress = 'unix:/x'", "address: write strings, and of these alone: target, "),
        ("[operator]\ntarget = 1", "target: write strings"),
        ("[operator]\ntarget = ''", "target: write strings"),
        ("[operator]\ntarget = 'unix:/x'\ncaller_token_file = 'none'", "caller_token_file: the file cannot be read"),
        ("[operator]\ntarget = 'unix:/x'\ncaller_token_file = 'token'\nca = 'none'", "ca, certificate, key: "),
        ("[operator]\ncaller_token_file = 'token'", "say where the server is"),
        ("[operator]\ntarget = 'pdp.example:443'\ncaller_token_file = 'token'", "only TLS is spoken; give `ca`"),
    ],
)
def test_a_profile_that_is_wrong(home: Path, content: str | None, says: str) -> None:
    if content is not None:
        (home / "profiles.toml").write_text(content)
        (home / "profiles.toml").chmod(0o600)
    done = run("status", "--profile", "operator")
    assert (done.exit_code, says in done.output.replace("\n", " ")) == (2, True), done.output


def test_a_file_that_others_may_write_is_not_read(home: Path) -> None:
    profile(home, "operator", **OPERATOR)
    path = home / "profiles.toml"
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    done = run("status", "--profile", "operator")
    assert (done.exit_code, "run `chmod o-w` on it" in done.output) == (2, True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "say where the server is: give --profile NAME"),
        ({}, "It comes with `pdp proxy --pin -- COMMAND`"),
        ({"token_file": "token"}, "say where the server is"),
        ({"target": "unix:/x"}, "give target and token_file"),
        ({"target": "unix:/x", "token_file": "token", "proxy_state": "."}, "give target and token_file"),
        ({"target": "unix:/x", "token_file": "token"}, "say who asks"),
        ({"target": "h:443", "token_file": "token", "caller_token_file": "token"}, "only TLS is spoken"),
        ({"target": "unix:/x", "token_file": "pdp", "caller_token_file": "token"}, "token_file: the file cannot be"),
    ],
)
def test_what_people_need_besides(home: Path, given: dict[str, str], says: str) -> None:
    done = run("approvals", "list", *(profile(home, **given) if given else ()))
    assert (done.exit_code, says in done.output) == (2, True), done.output
