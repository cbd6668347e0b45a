"""The configuration: everything unknown is an error, paths begin at the file, secrets stay out of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pdp.core.errors import ConfigurationFault
from pdp.settings import Settings, load, read_yaml, secret, validate

MARK = "zq87-must-not-be-echoed"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "pdp.yaml"


def written(file: Path, content: Any) -> Path:
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return file


def fault(file: Path, content: Any, **environment: str) -> ConfigurationFault:
    with pytest.raises(ConfigurationFault) as caught:
        load(written(file, content), environment)
    assert MARK not in caught.value.message
    return caught.value


def test_the_smallest_configuration(file: Path) -> None:
    found = load(written(file, {"registry": {}}), {})
    assert found.production  # nobody gets development keys by forgetting something
    assert found.store.path == file.parent / "var/store"
    assert found.server.listen == ("127.0.0.1:50051",)
    assert not found.identity.callers


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"registry": {}, "servce": {}}, "servce: unknown key. Did you mean 'service'?"),
        ({"registry": {"max_stale": 1}}, "registry.max_stale: unknown key. Did you mean 'max_stale_seconds'?"),
        ({"registry": {}, "zzz": 1}, "zzz: unknown key."),
        ({"registry": {}, "store": {"pth": MARK}}, "store.pth: unknown key. Did you mean 'path'?"),
        ({"registry": {}, "service": {"max_in_flight": MARK}}, "service.max_in_flight: "),
        ({"registry": {}, "service": {"allow_seconds": 301}}, "service.allow_seconds: "),
        ({"registry": {}, "mode": MARK}, "mode: "),
        ({"registry": {}, "store": {"path": ":memory:"}}, "store.path: must be a directory on disk"),
        ({}, "registry: "),
    ],
)
def test_what_is_wrong_is_named(file: Path, content: Any, says: str) -> None:
    found = fault(file, content)
    assert found.code == "config.invalid"
    assert says in found.message


def test_every_problem_is_said_at_once(file: Path) -> None:
    lines = fault(file, {"registry": {"a": 1}, "service": {"b": 1, "watch_seconds": -1}}).message.splitlines()
    assert [line.split(":")[0] for line in lines] == ["registry.a", "service.b", "service.watch_seconds"]


def test_keys_below_names_of_ones_own_are_checked_too(file: Path) -> None:
    caller = {"match": {"issuer": "i", "subject": "s"}, "tenant": "t", "role": ["decide"]}
    said = fault(file, {"registry": {}, "identity": {"callers": {"gw": caller}}}).message
    assert "identity.callers.gw.role: unknown key" in said


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("a: [", "config.yaml", "pdp.yaml, line"),
        ("- a", "config.yaml", "must be a mapping"),
        ("", "config.yaml", "must be a mapping"),
        ("mode: production\nmode: development\n", "config.duplicate", "line 2: the key 'mode' stands twice"),
        ("store:\n  path: a\n  path: b\n", "config.duplicate", "line 3: the key 'path' stands twice"),
        ("x: !!python/object/apply:os.system [true]", "config.yaml", "pdp.yaml, line 1"),
    ],
)
def test_what_is_no_plain_yaml_mapping(file: Path, text: str, code: str, says: str) -> None:
    found = fault(file, text)
    assert found.code == code
    assert says in found.message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load(tmp_path / "none.yaml", {})
    assert caught.value.code == "config.unreadable"
    assert str(tmp_path) not in caught.value.message


def test_variables_lie_over_the_file(file: Path) -> None:
    environment = {
        "PDP_SERVICE__MAX_IN_FLIGHT": "7",
        "PDP_POLICY__FOLDER": "rules",
        "PDP_SERVER__LISTEN": "[unix:a.sock]",
        "PATH": "/bin",
        "pdp_mode": "nobody's",
    }
    found = load(written(file, {"registry": {}, "service": {"max_in_flight": 3, "list_seconds": 9}}), environment)
    assert (found.service.max_in_flight, found.service.list_seconds) == (7, 9)
    assert found.policy.folder == file.parent / "rules"
    assert found.server.listen == (f"unix:{file.parent / 'a.sock'}",)


@pytest.mark.parametrize("name", ["PDP_", "PDP_X", "PDP_SERVICE_MAX_IN_FLIGHT", "PDP_SERVICE__MAX_IN_FLIGHT__X"])
def test_a_variable_that_is_nobodys(file: Path, name: str) -> None:
    fault(file, {"registry": {}, "service": {"max_in_flight": 3}}, **{name: MARK})


def test_a_variable_that_is_no_yaml(file: Path) -> None:
    found = fault(file, {"registry": {}}, PDP_STORE__PATH=f"[{MARK}")
    assert "PDP_STORE__PATH" in found.message


@pytest.mark.parametrize(("raw", "code"), [(b"mode: \xff", "config.unreadable"), (b"mode: \x00", "config.yaml")])
def test_a_file_that_is_no_text(file: Path, raw: bytes, code: str) -> None:
    file.write_bytes(raw)
    with pytest.raises(ConfigurationFault) as caught:
        load(file, {})
    assert caught.value.code == code


def test_relative_places_begin_at_the_file(file: Path) -> None:
    issuer = {"issuer": "i", "tenant": "t", "jwks_file": "keys/jwks.json"}
    content = {
        "registry": {"sets": {}, "keys": []},
        "identity": {"issuers": [issuer], "revoked_jti_file": "/etc/revoked"},
        "service": {"index_key": "file:index.key"},
        "server": {"listen": ["unix:pdp.sock", "127.0.0.1:0"]},
    }
    found = load(written(file, content), {})
    here = file.parent.resolve()
    assert found.identity.issuers[0].jwks_file == here / "keys/jwks.json"
    assert found.identity.revoked_jti_file == Path("/etc/revoked")
    assert found.service.index_key == f"file:{here / 'index.key'}"
    assert found.server.listen == (f"unix:{here / 'pdp.sock'}", "127.0.0.1:0")


def test_the_fingerprint_tells_configurations_apart(tmp_path: Path) -> None:
    def made(**service: Any) -> Settings:
        return validate({"registry": {}, "service": service}, tmp_path)

    assert made().fingerprint() == made().fingerprint()
    assert made().fingerprint() != made(allow_seconds=7).fingerprint()
    assert made(allow_seconds=7).changed() == [*sorted({*made().changed(), "service.allow_seconds"})]


def secret_file(tmp_path: Path, content: bytes, mode: int = 0o600) -> str:
    path = tmp_path / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return f"file:{path}"


def test_a_secret(tmp_path: Path) -> None:
    assert secret(secret_file(tmp_path, b"s" * 32 + b"\n")) == b"s" * 32
    assert secret(secret_file(tmp_path, b"s" * 31 + b"\n\r\n" + b"t" * 9)) == b"s" * 31 + b"\n\r\n" + b"t" * 9


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o601, 0o644, 0o666])
def test_a_secret_that_others_may_touch(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        secret(secret_file(tmp_path, MARK.encode() * 4, mode))
    assert caught.value.code == "config.secret"
    assert "chmod 600" in caught.value.message
    assert MARK not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"\n" * 64, b"s" * 31, b"s" * 31 + b"\n\n"])
def test_a_secret_that_is_too_short(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigurationFault, match="shorter than 32 bytes"):
        secret(secret_file(tmp_path, content))


@pytest.mark.parametrize("reference", [MARK * 4, "", "env:KEY", f"FILE:{MARK}"])
def test_a_secret_is_given_by_file(reference: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        secret(reference)
    assert "file:PATH" in caught.value.message
    assert MARK not in caught.value.message


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        secret(f"file:{tmp_path / 'none'}")
    assert "cannot be read" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_yaml_keys_that_are_equal_only_in_yaml() -> None:
    with pytest.raises(ConfigurationFault, match="stands twice"):
        read_yaml("a: 1\n'a': 2\n", "x.yaml")
