"""The conformance set on both engines, with the real OPA as the judge; every difference is in the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import engines
import yaml
from support.for_each import for_each

HERE = Path(__file__).parent
ROWS: list[dict[str, Any]] = [json.loads(line) for line in (HERE / "rego_conformance.jsonl").read_text().splitlines()]
TABLE: list[dict[str, Any]] = yaml.safe_load((HERE / "differences.yaml").read_text())
KNOWN = {case: str(row["id"]) for row in TABLE for case in row.get("cases", ())}


def expected(row: Mapping[str, Any]) -> engines.Said:
    return {"error": engines.LOUD, "undefined": engines.UNDEFINED}.get(
        next(iter(row["expect"])) if row["expect"] in ({"error": True}, {"undefined": True}) else "",
        ("value", row["expect"]),
    )


def ask(opa: engines.Opa, row: Mapping[str, Any], *, strict: bool) -> engines.Said:
    return opa.ask(row["modules"], row["input"], query=row["query"], data=row["data"], strict=strict)


@for_each("row", ROWS, ids=lambda row: row["id"])
def test_opa_judges_the_expectation(opa: engines.Opa, row: Mapping[str, Any]) -> None:
    assert engines.same(ask(opa, row, strict=False), expected(row))


@for_each("row", ROWS, ids=lambda row: row["id"])
def test_the_engines_differ_only_as_the_table_says(opa: engines.Opa, row: Mapping[str, Any]) -> None:
    apart = row["id"] == "recursion_function_infinite"  # it ends the process
    asked = (row["modules"], row["input"])
    here = (
        engines.embedded_apart(*asked, row["query"], row["data"])
        if apart
        else engines.embedded(*asked, query=row["query"], data=row["data"])
    )
    agree = engines.same(ask(opa, row, strict=True), here)
    assert agree == (row["id"] not in KNOWN), "a difference that is not in differences.yaml" if not agree else "gone"


def test_the_table_names_cases_that_exist() -> None:
    assert set(KNOWN) <= {row["id"] for row in ROWS}
    assert len(KNOWN) == sum(len(row.get("cases", ())) for row in TABLE), "a case stands in two rows"
