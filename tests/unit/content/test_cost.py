"""Schemas made to keep the validator busy; a test that hangs is one that fails (`timeout`)."""

import json
from typing import Any

from support.for_each import for_each

from pdp.content import ArgumentContent
from pdp.content.visits import ENDLESS, Visits
from pdp.core.call.facts import ArgumentsFact
from pdp.core.call.registered import PinnedTool


def branch(*required: str) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": list(required)}


def recursive(body: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "$defs": {"n": body}, "properties": {"a": {"$ref": "#/$defs/n"}}}


HOSTILE = {
    "any of two": recursive({"anyOf": [branch("x"), branch("y")]}),
    "all of two": recursive({"allOf": [branch("x"), branch("y")]}),
    "dynamic": {
        "$dynamicAnchor": "m",
        "type": "object",
        "anyOf": [{"properties": {"a": {"$dynamicRef": "#m"}}, "required": [name]} for name in ("x", "y")],
    },
}

DOUBLING = recursive({"$ref": "#/$defs/d0"})
DOUBLING["$defs"] |= {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
DOUBLING["$defs"]["d40"] = {"required": ["x"]}


def check(schema: dict[str, Any], value: Any) -> ArgumentsFact:
    tool = PinnedTool("s", "t", "m" * 64, schema, {})
    return ArgumentContent().arguments(json.dumps(value).encode(), tool)


def nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@for_each("name", HOSTILE)
def test_a_hostile_schema_denies_at_once_and_without_a_place(name: str) -> None:
    found = check(HOSTILE[name], nested(30)).check
    assert (found.code, "keyword" in found.message) == ("arguments.schema", False)


def test_a_schema_whose_branches_multiply_does_not_count() -> None:
    assert check(DOUBLING, {"a": {}}).check.code == "arguments.schema_invalid"
    assert Visits(DOUBLING).widest() > 2**40 - 1


def test_ordinary_recursion_still_says_where() -> None:
    tree = recursive({"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}, "v": {"type": "string"}}})
    value = {"a": {"a": {"a": {"v": 5}}}}
    assert "at /a/a/a/v: keyword `type`" in check(tree, value).check.message


@for_each(
    ("schema", "depth", "visits"),
    [
        ({}, 5, 1),
        ({"properties": {"a": {}, "b": {"anyOf": [{}, {}]}}}, 1, 4),
        ({"properties": {"a": {}}}, 0, 1),
        ({"items": {"$ref": "#"}}, 3, 7),
        ({"$ref": "#/$defs/gone"}, 1, ENDLESS),
        ({"allOf": [{"$ref": "#"}]}, 1, ENDLESS),
    ],
)
def test_visits_are_an_upper_bound(schema: Any, depth: int, visits: int) -> None:
    assert Visits(schema).along(depth) == visits
