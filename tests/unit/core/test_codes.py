"""The codes of the service's own denials, as its sources have them: the load gate reserves them all."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pdp.core.check import SERVICE_CODES, is_service_code

ROOT = Path(__file__).parents[3]
MAKERS = {"failed", "missing", "denied", "EngineFault", "Reason"}  # what makes a reason of a denial
CODE = re.compile(r"[a-z_]+\.[a-z_]+")
REGO = re.compile(
    r'(?:\breason\(\s*|concat\("\.", \[|: |\bcode := )"((?:policy|requirement|obligation|check)(?:\.[a-z_]+)?)"'
)


def in_python() -> Iterator[str]:
    for path in sorted((ROOT / "pdp").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", None) or getattr(
                getattr(node, "func", None), "attr", ""
            )
            first = node.args[0] if isinstance(node, ast.Call) and node.args else None
            if name in MAKERS and isinstance(first, ast.Constant) and CODE.fullmatch(str(first.value)):
                yield str(first.value)


def in_rego() -> Iterator[str]:
    for path in sorted((ROOT / "rego" / "pdp").glob("*.rego")):
        if not path.name.endswith("_test.rego"):
            yield from REGO.findall(path.read_text(encoding="utf-8"))


def test_every_code_of_a_denial_is_reserved() -> None:
    found = {*in_python(), *in_rego()}
    # proof that the search sees what there is, in each place
    assert {"server.unknown", "subject.missing", "policy.input", "obligation.unsupported"} <= found
    assert {"policy.packs", "requirement.refused", "check", "obligation.conflict"} <= set(in_rego())
    assert sorted(code for code in found if not is_service_code(code)) == []


@pytest.mark.parametrize("code", ["acme.limit", "subjects.x", "my.policy", "risk.high"])
def test_other_codes_are_free(code: str) -> None:
    assert not is_service_code(code)


def test_the_list_holds_first_parts() -> None:
    assert all(re.fullmatch("[a-z_]+", part) for part in SERVICE_CODES)
