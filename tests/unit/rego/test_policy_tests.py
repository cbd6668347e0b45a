"""The tests that lie beside our Rego, on the embedded engine, and on a real OPA where there is one."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import shipped
from support.for_each import for_each
from support.outside import need

from pdp.core.outcome.elements import composition_schema

OPA_PATHS = ["pdp", "baseline", "lib", "examples/acme/packs"]


@pytest.fixture(scope="module")
def engine() -> Any:
    return shipped.engine(tests=True)


@for_each(("file", "rule"), shipped.rego_tests(), ids=lambda value: value.removeprefix("data."))
def test_rego(engine: Any, file: str, rule: str) -> None:
    assert shipped.evaluate(engine, rule) is True, file


def test_every_test_rule_has_a_name_of_its_own() -> None:
    twice = [rule for rule, times in Counter(rule for _, rule in shipped.rego_tests()).items() if times > 1]
    assert twice == []


def test_every_rule_file_of_the_shipped_policy_has_its_test_beside_it() -> None:
    without = {"reasons.rego", "obligations.rego"}  # asserted on by the tests of every other file
    for path in shipped.files(tests=False):
        if path.parent.name in ("pdp", "baseline") and path.name not in without:
            assert path.with_name(f"{path.stem}_test.rego").is_file(), path.name


def _opa(*arguments: str) -> str:
    done = subprocess.run([need("opa"), *arguments], cwd=shipped.REGO, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_opa_check_strict(tmp_path: Path) -> None:
    """Packs against the facts, the composition against what it reads of them."""
    composed = tmp_path / "composition.json"
    composed.write_text(json.dumps(composition_schema(json.loads((shipped.REGO / "schemas/input.json").read_text()))))
    rules = [path.relative_to(shipped.REGO).as_posix() for path in shipped.files(tests=False)]
    ours = [path for path in rules if path.startswith("pdp/")]
    _opa("check", "--strict", "--schema", str(composed), *ours)
    _opa("check", "--strict", "--schema", "schemas/input.json", *(path for path in rules if path not in ours))
    _opa("check", "--strict", *OPA_PATHS)


def test_opa_runs_the_same_tests() -> None:
    assert f"PASS: {len(shipped.rego_tests())}/{len(shipped.rego_tests())}" in _opa("test", *OPA_PATHS)


def test_opa_fmt_has_nothing_to_change() -> None:
    assert _opa("fmt", "--list", *OPA_PATHS) == ""
