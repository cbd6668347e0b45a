"""Fields of requirements and obligations enter the log in clear: none may hold what a caller sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.for_each import for_each

OBLIGE = 'oblige contains {"kind": "redact", "code": "o", %s} if { some t in input.targets; t.name == "x" }\n'
APPROVAL = (
    'require contains {"kind": "approval", "id": "r", "code": "r", "stage": 1, "ttl_seconds": 60, '
    '"seats": %s, "deny_quorum": 1, "reason_required": false} if { some t in input.targets; t.name == "x" }\n'
)


@for_each(
    "field",
    [
        '"what": input.arguments.value.to',
        '"what": sprintf("%v", [input.arguments.value.to])',
        '"what": concat("", ["a", "b"])',
        '"what": [1, {"deep": input.arguments.value.to}]',
        '"what": input.subject.id',
        '"what": t.name',
        '"what": {x | some x in input.subject.groups}',
        '"what": data.org',
    ],
)
def test_what_is_computed_is_refused(walk: Callable[..., Any], field: str) -> None:
    found = [f for f in walk(OBLIGE.replace("%s", field)) if f.code == "element.value"]
    assert len(found) == 1
    assert found[0].line > 4
    assert "`what` is computed" in found[0].message
    assert "data.org" in found[0].hint


@for_each("field",
    ['"what": "text"', '"what": 1', '"what": [true, null, {"a": ["b"]}]', '"what": {"a"}',
     '"what": data.org.approvals.critical'])  # fmt: skip
def test_what_is_written_out_or_the_organisations_is_accepted(walk: Callable[..., Any], field: str) -> None:
    assert [f for f in walk(OBLIGE.replace("%s", field)) if f.code == "element.value"] == []


def test_a_variable_over_the_organisations_data_is_the_organisations(walk: Callable[..., Any]) -> None:
    body = 'oblige contains {"kind": "k", "code": "o", "what": l.name} if { some l in %s }\n'
    assert "element.value" not in [f.code for f in walk(body % "data.org.limits")]
    assert "element.value" in [f.code for f in walk(body % "input.targets")]


def test_seats_too(walk: Callable[..., Any]) -> None:
    fixed = APPROVAL.replace("%s", '[{"group_id": data.org.approvals.critical, "n": 1}]')
    chosen = APPROVAL.replace("%s", '[{"group_id": input.asserted.task, "n": 1}]')
    assert "element.value" not in [f.code for f in walk(fixed)]
    assert "element.value" in [f.code for f in walk(chosen)]
