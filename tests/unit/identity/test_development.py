"""Development keys work in development, and nowhere else."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pdp.cli.dev import dev
from pdp.core.call.facts import Identity
from pdp.core.call.request import Bearer, Caller
from pdp.core.check import NS
from pdp.core.errors import ConfigurationFault
from pdp.identity import development
from pdp.identity.authentication import Authentication
from pdp.identity.options import IdentityOptions

NOW = 1_800_000_000
SEED = bytes(range(32))


def identity(folder: Path, *, production: bool = False, marked: bool = True) -> Authentication:
    issuer = {
        "issuer": development.DEVELOPMENT_ISSUER,
        "tenant": "acme",
        "jwks_file": folder / development.JWKS_FILE,
        "development": marked,
    }
    return Authentication(IdentityOptions.model_validate({"issuers": [issuer]}), production=production)


async def identify(authentication: Authentication, token: str, at_ns: int) -> Identity:
    caller = Caller("gateway", "acme", frozenset(), frozenset())
    return await authentication.subjects.identify(
        Bearer(token), caller=caller, audiences=("https://git.example",), at_ns=at_ns
    )


def test_a_seed_gives_one_key() -> None:
    assert development.make_key(SEED) == development.make_key(SEED)
    assert development.make_key(SEED).kid.startswith("dev-")
    assert "d" not in development.make_key(SEED).public
    with pytest.raises(ValueError, match="32"):
        development.make_key(b"short")


async def test_minted_tokens_pass_in_development(tmp_path: Path) -> None:
    key = development.write_keys(tmp_path, SEED)
    claims = development.claims(
        subject="alice",
        audience="https://git.example",
        client_id="assistant",
        scopes=["a", "b"],
        groups=["g"],
        actors=["planner", "router"],
        amr=["pwd"],
    )
    found = await identify(identity(tmp_path), development.mint(claims, key, NOW * NS), NOW * NS)
    assert (found.subject.id, found.subject.kind, found.subject.scopes) == ("alice", "human", ("a", "b"))
    assert found.subject.expires_ns == (NOW + 600) * NS
    assert ([a.id for a in found.actors], found.agent.id) == (["planner", "router"], "assistant")


def test_production_refuses_them_however_they_are_named(tmp_path: Path) -> None:
    key = development.write_keys(tmp_path, SEED)
    for production, marked in ((True, True), (True, False), (False, False)):
        with pytest.raises(ConfigurationFault) as caught:
            identity(tmp_path, production=production, marked=marked)
        assert caught.value.code == "keys.development"
    file = tmp_path / development.JWKS_FILE
    renamed = {**json.loads(file.read_text()), "keys": [{**key.public, "kid": "another"}]}
    for content in ({"keys": [key.public]}, renamed):  # the mark taken off the set, or off its key
        file.write_text(json.dumps(content))
        with pytest.raises(ConfigurationFault) as caught:
            identity(tmp_path, production=True, marked=False)
        assert caught.value.code == "keys.development"


def test_keys_are_private_and_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    development.write_keys(folder, SEED)
    for name in (development.KEY_FILE, development.JWKS_FILE):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = (folder / development.KEY_FILE).read_bytes()
    (folder / development.JWKS_FILE).unlink()
    with pytest.raises(ConfigurationFault) as caught:
        development.write_keys(folder, bytes(32))
    assert caught.value.code == "dev.keys_exist"
    assert (folder / development.KEY_FILE).read_bytes() == before
    assert development.read_key(folder) == development.make_key(SEED)


def test_the_private_file_is_no_key_set(tmp_path: Path) -> None:
    key = development.write_keys(tmp_path, SEED)
    (tmp_path / development.JWKS_FILE).write_text(
        json.dumps({"keys": [json.loads((tmp_path / development.KEY_FILE).read_text())]})
    )
    assert key.kid
    with pytest.raises(ConfigurationFault) as caught:
        identity(tmp_path)
    assert caught.value.code == "keys.private"


@pytest.mark.parametrize("content", [None, "", "{}", '{"d": 7}', '{"d": "AAAA"}', '{"d": "A"}'])
def test_unusable_key_files(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / development.KEY_FILE).write_text(content)
    with pytest.raises(ConfigurationFault) as caught:
        development.read_key(tmp_path)
    assert caught.value.code == "dev.keys_unreadable"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(dev, arguments)


async def test_commands_make_keys_and_a_token_that_passes(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    made = run("keys", folder)
    assert made.exit_code == 0
    assert "development: true" in made.output
    printed = run(
        *("token", "--keys", folder, "--sub", "alice", "--aud", "https://git.example", "--client-id", "assistant"),
        *("--scope", "a", "--scope", "b", "--group", "g", "--act", "planner", "--act", "router", "--expires", "15m"),
    )
    assert printed.exit_code == 0
    found = await identify(identity(Path(folder)), printed.output.strip(), time.time_ns())
    assert (found.subject.id, found.subject.kind, found.subject.groups) == ("alice", "human", ("g",))
    assert found.subject.expires_ns - found.subject.issued_ns == 900 * NS
    assert [a.id for a in found.actors] == ["planner", "router"]


async def test_a_service_token_has_no_traces_of_a_person(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    assert run("keys", folder).exit_code == 0
    for extra, kind in (
        (("--sub", "bot", "--client-id", "bot"), "service"),
        (("--sub", "bot", "--service"), "unknown"),
    ):
        printed = run("token", "--keys", folder, "--aud", "https://git.example", *extra)
        found = await identify(identity(Path(folder)), printed.output.strip(), time.time_ns())
        assert (found.subject.check.ok, found.subject.kind) == (True, kind)


def test_usage_errors_say_what_to_do(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    absent = run("token", "--keys", folder, "--sub", "a", "--aud", "x")
    assert (absent.exit_code, "pdp dev keys" in absent.output) == (2, True)
    assert run("keys", folder).exit_code == 0
    again = run("keys", folder)
    assert (again.exit_code, "another folder" in again.output) == (2, True)
    for expires in ("0s", "10", "-5m", "1d", "10m "):
        wrong = run("token", "--keys", folder, "--sub", "a", "--aud", "x", "--expires", expires)
        assert (wrong.exit_code, "10m" in wrong.output) == (2, True)
