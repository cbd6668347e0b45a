"""What we name as the conventions do is named so there: those for GenAI, MCP, RPC and errors, as published."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from opentelemetry.semconv._incubating.attributes.mcp_attributes import McpMethodNameValues
from support.for_each import for_each

from pdp.core.bytes.digest import canonical
from pdp.core.call.methods import CALLS, LISTS
from pdp.core.ports.telemetry import TARGET_NAMES
from pdp.core.rows.log import LogRow
from pdp.proof.options import OtlpReceiver
from pdp.proof.receivers import RecordBatch, receiver
from pdp.runtime.telemetry.catalogue import ATTRIBUTES, INSTRUMENTS

VECTORS: dict[str, str] = json.loads((Path(__file__).parents[2] / "vectors" / "record.json").read_text())
PUBLISHED = {
    value
    for module in ("gen_ai", "mcp", "rpc", "error", "service")
    for name, value in vars(
        import_module(f"opentelemetry.semconv._incubating.attributes.{module}_attributes")
    ).items()
    if name.isupper() and isinstance(value, str)
}


def of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The attributes of its log record."""
    made = receiver(OtlpReceiver(kind="otlp", url="https://collector.example/v1/logs"), lambda *_: b"", "x")
    body = made.encoded(RecordBatch("pdp/x", (LogRow(0, bytes(32), canonical(record)),)))
    (resource,) = json.loads(body)["resourceLogs"]
    assert named(resource["resource"]["attributes"]) == {"service.name", "service.version", "pdp.log"}
    (found,) = resource["scopeLogs"][0]["logRecords"]
    return {each["key"]: each["value"].get("stringValue") for each in found["attributes"]}


def named(attributes: list[dict[str, Any]]) -> set[str]:
    return {each["key"] for each in attributes}


def test_spans_and_metrics_use_published_names_or_our_own() -> None:
    names = {each.name for each in ATTRIBUTES} | {name for each in INSTRUMENTS for name in each.attributes}
    assert {name for name in names if not name.startswith("pdp.")} <= PUBLISHED
    assert {each.name for each in INSTRUMENTS if not each.name.startswith("pdp.")} == {"rpc.server.call.duration"}


@for_each("name", VECTORS)
def test_log_records_use_published_names_or_our_own(name: str) -> None:
    assert {key for key in of_record(json.loads(VECTORS[name])) if not key.startswith("pdp.")} <= PUBLISHED


def test_methods_are_those_of_the_conventions() -> None:
    assert {*CALLS, *LISTS} <= {each.value for each in McpMethodNameValues}


@for_each(("kind", "method"), [("tool", "tools/call"), ("prompt", "prompts/get"), ("resource", "resources/read")])
def test_a_log_record_names_its_target_by_kind(kind: str, method: str) -> None:
    record = json.loads(VECTORS["decision allow"])
    target = record["target"] | {"kind": kind, "name": "x"}
    found = of_record(record | {"target": target, "method": method})
    assert {name: found[name] for name in TARGET_NAMES.values() if name in found} == {TARGET_NAMES[kind]: "x"}
    assert ("gen_ai.operation.name" in found) is (kind == "tool")
    asked = json.loads(VECTORS["explain"]) | {"target": "x" if kind == "tool" else f"{kind}:x"}
    assert of_record(asked)[TARGET_NAMES[kind]] == "x"
