"""Each row of the table: the engines do differ as it says, and the treatment it names is the one that happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import engines
import gating
import pytest
import regorus
from support.for_each import for_each
from test_conformance import ROWS, TABLE

from pdp.core.bytes.strict_json import parse
from pdp.core.errors import InvalidRequest
from pdp.policy.embedded.regorus_binding import EXTENSIONS
from pdp.policy.evaluation import too_deep

_PACK = """package packs.acme

meta := {"servers": ["git"], "owner": "acme"}

deny contains {"code": "acme.x", "message": "No."} if {
	%s
}
"""
_KEYS = {"id", "says", "opa", "embedded", "gate", "code", "pack", "probe", "input", "why", "cases"}
PROBED = [row for row in TABLE if "probe" in row]


def codes(pack: str | Mapping[str, str]) -> set[str]:
    """What the static half of the gate says of a pack: of files, or of one with this body of a deny."""
    return gating.codes({"packs/acme/acme.rego": _PACK % pack} if isinstance(pack, str) else pack)


def probe(row: Mapping[str, Any]) -> list[str]:
    return row["probe"] if isinstance(row["probe"], list) else [f"package test\n\n{row['probe']}\n"]


@for_each("row", TABLE, ids=lambda row: row["id"])
def test_the_row_is_complete(row: Mapping[str, Any]) -> None:
    assert set(row) <= _KEYS
    wanted = {
        "refused": {"code", "pack"},
        "input": {"why"},
        "equal": {"probe"},
        "loud": {"probe"},
        "harmless": {"why", "probe"},
    }
    assert wanted[row["gate"]] <= set(row)
    assert "probe" in row or row.get("cases") or row["id"] == "bits"  # bits would end the server for all tests


@for_each("row", [r for r in TABLE if "pack" in r], ids=lambda row: row["id"])
def test_the_gate_refuses_it(row: Mapping[str, Any]) -> None:
    assert row["code"] in codes(row["pack"])


def test_the_gate_takes_the_same_pack_without_it() -> None:
    assert codes('input.call.method == "tools/call"') == set()


@for_each("row", PROBED, ids=lambda row: row["id"])
def test_the_engines_answer_as_the_row_says(opa: engines.Opa, row: Mapping[str, Any]) -> None:
    theirs = opa.ask(probe(row), row["input"])
    ours = engines.embedded(probe(row), row["input"])
    assert engines.same(theirs, ours) == (row["gate"] == "equal")
    if row["gate"] == "loud":
        assert engines.LOUD in (theirs, ours)


@pytest.mark.parametrize("row", [r for r in TABLE if r["gate"] == "equal"], ids=lambda row: row["id"])
def test_without_our_extension_they_would_differ(
    opa: engines.Opa, row: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "new_engine", regorus.Engine)
    assert not engines.same(opa.ask(probe(row), row["input"]), engines.embedded(probe(row), row["input"]))


def test_no_input_has_integers_beyond_64_bits_or_too_many_levels() -> None:
    for number in (2**63, -(2**63) - 1):
        with pytest.raises(InvalidRequest):
            parse(b'{"n":%d}' % number, "arguments")
    assert too_deep(b"[" * 65 + b"]" * 65, 64)
    deep = [row for row in ROWS if row["id"] in ("deep_200", "deep_array_200")]
    assert all(too_deep(engines.json.dumps(row["input"]).encode(), 64) for row in deep)


def test_an_extension_stands_in_the_table() -> None:
    told = " ".join(row["says"] for row in TABLE if row["gate"] == "equal")
    assert all(f"`{name}`" in told for name in EXTENSIONS)
