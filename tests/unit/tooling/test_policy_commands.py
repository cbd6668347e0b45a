"""`pdp policy check` and `pdp policy test`: what they print and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pdp.cli.policy import policy
from pdp.policy.bundle import shipped_rego

GOOD = 'package packs.acme\n\nmeta := {"servers": ["git"], "owner": "acme"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pack = tmp_path / "org" / "packs" / "acme"
    pack.mkdir(parents=True)
    (pack / "acme.rego").write_text(GOOD)
    return tmp_path / "org"


def pdp(*arguments: str | Path) -> Result:
    return CliRunner().invoke(policy, [str(a) for a in arguments])


def test_check_accepts(folder: Path) -> None:
    done = pdp("check", folder)
    assert done.exit_code == 0, done.output
    assert "acme, baseline" in done.output
    assert "may become active: 0 errors" in done.output


def test_check_shows_place_and_the_right_name(folder: Path) -> None:
    (folder / "packs/acme/acme.rego").write_text(GOOD + '\ndenies contains {"code": "a", "message": "m"}\n')
    done = pdp("check", folder)
    assert done.exit_code == 10
    assert "packs/acme/acme.rego:5:1: error rule.unused" in done.output
    assert "Did you mean `deny`?" in done.output
    assert "is refused: 1 error, 0 warnings" in done.output


def test_check_for_machines(folder: Path) -> None:
    (folder / "packs/acme/acme.rego").write_text(GOOD + "\nx := 1\n")
    done = pdp("check", folder, "--json")
    assert done.exit_code == 10
    found = json.loads(done.output)
    assert found["ok"] is False
    assert found["packs"] == ["acme", "baseline"]
    assert len(found["digest"]) == 64
    [finding] = found["findings"]
    assert {k: finding[k] for k in ("code", "severity", "path", "line", "column")} == {
        "code": "rule.unused",
        "severity": "error",
        "path": "packs/acme/acme.rego",
        "line": 5,
        "column": 1,
    }


def test_check_of_a_folder_that_is_no_bundle(folder: Path) -> None:
    (folder / "stray.json").write_text("{}")
    done = pdp("check", folder)
    assert done.exit_code == 10
    assert "bundle.layout" in done.output
    assert json.loads(pdp("check", folder, "--json").output)["digest"] is None


def test_warnings_do_not_refuse(folder: Path) -> None:
    (folder / "packs/acme/acme.rego").write_text(
        GOOD + '\noblige contains {"kind": "log", "code": "a"} if { x := input; x.session.known }\n'
    )
    done = pdp("check", folder)
    assert done.exit_code == 0, done.output
    assert "warning flow.bare_input" in done.output


def test_usage(tmp_path: Path) -> None:
    assert pdp("check", tmp_path / "nowhere").exit_code == 2
    assert pdp("check", "--nonsense").exit_code == 2


def test_test_runs_what_is_shipped_and_what_is_theirs(folder: Path) -> None:
    (folder / "packs/acme/acme_test.rego").write_text("package acme_test\n\ntest_one if true\n")
    done = pdp("test", folder, "-v", "--filter", "acme_test")
    assert done.exit_code == 0, done.output
    assert "pass  acme_test.test_one" in done.output
    assert "1 of 1 tests pass" in done.output


def test_test_shows_failures(folder: Path) -> None:
    (folder / "packs/acme/acme_test.rego").write_text("package acme_test\n\ntest_one if false\n\ntest_two if true\n")
    done = pdp("test", folder, "--filter", "acme_test")
    assert done.exit_code == 10
    assert "FAIL  acme_test.test_one  (packs/acme/acme_test.rego:3)" in done.output
    assert "test_two" not in done.output
    found = json.loads(pdp("test", folder, "--filter", "acme_test", "--json").output)
    assert (found["ok"], found["passed"], found["failed"]) == (False, 1, 1)


def test_no_test_is_no_success(folder: Path) -> None:
    done = pdp("test", folder, "--filter", "there_is_no_such_test")
    assert done.exit_code == 10
    assert "no test has that name" in done.output


def test_a_policy_that_kills_the_process_is_a_fault(folder: Path) -> None:
    (folder / "packs/acme/acme_test.rego").write_text(
        "package acme_test\n\nf(x) := f(x + 1)\n\ntest_crash if f(1) == 2\n"
    )
    assert pdp("test", folder).exit_code == 1
    assert pdp("check", folder).exit_code == 1


def test_shipped_policy_passes_its_own_tests() -> None:
    done = pdp("test", shipped_rego() / "examples" / "acme")
    assert done.exit_code == 0, done.output
