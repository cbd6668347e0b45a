"""What policy may read is frozen: a fact or key never changes, and a new one is listed as an addition.

`tests/vectors/<name>_<version>.json` holds each schema as statements, one per fact and one per value of an
enumeration. `frozen` is fixed by a digest. `additions` is the list that grows: the test prints the lines for it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pdp.core.bytes.digest import canonical
from pdp.policy.bundle import shipped_rego

VECTORS = Path(__file__).parents[2] / "vectors"
# SHA-256 of `frozen`. It stays as it is for as long as the version does; another version gets a line of its own.
FROZEN = {
    "pdp.input/1": "35f78184c02016c4cf8cfd7b2d264ab8f2319b253feea22a5f399c45ea81afcf",
    "pdp.org/1": "6c867ebe1cf0692326d2a6880486c617cfc609ecf3adfa7e38c0a643917e6ff2",
}
_TOLD = {"$schema", "description", "required"}  # for people; `always` says what is required
_BELOW = {"properties", "items", "enum"}  # become statements of their own

Schema = dict[str, Any]


def statements(schema: Schema) -> list[str]:
    """All that a schema says, as `path keyword=value …`, and `path = value` for each value of an enumeration."""
    return sorted(_statements(schema, schema["title"].split("/")[0].removeprefix("pdp."), always=True))


def _statements(node: Schema, path: str, *, always: bool) -> Iterator[str]:
    own = {key: value if key not in _BELOW else "below" for key, value in node.items() if key not in _TOLD}
    words = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in sorted(own.items())]
    yield " ".join([path, *words, "always" if always else "at times"])
    yield from (f"{path} = {value}" for value in node.get("enum", ()))
    for name, below in node.get("properties", {}).items():
        yield from _statements(below, f"{path}.{name}", always=name in node.get("required", ()))
    if "items" in node:
        yield from _statements(node["items"], f"{path}[_]", always=True)


def differences(schema: Schema, frozen: list[str], additions: list[str]) -> str:
    """What a schema says otherwise than its version allows, with what to do; "" where it says the same."""
    now, listed = set(statements(schema)), {*frozen, *additions}
    gone, new = sorted(listed - now), sorted(now - listed)
    said = []
    if gone:
        said.append(f"{schema['title']} no longer says this; put it back, or make a new version:\n" + "\n".join(gone))
    if new:
        lines = ",\n".join(json.dumps(line) for line in new)
        file = vector(schema["title"]).name
        said.append(f"new; if these are additions, put them under `additions` in tests/vectors/{file}:\n{lines}")
    return "\n".join(said)


def vector(title: str) -> Path:
    return VECTORS / f"{title.removeprefix('pdp.').replace('/', '_')}.json"


@pytest.fixture(params=["input", "org"])
def schema(request: pytest.FixtureRequest) -> Schema:
    found: Schema = json.loads((shipped_rego() / f"schemas/{request.param}.json").read_text())
    return found


@pytest.fixture
def held(schema: Schema) -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(vector(schema["title"]).read_text())
    return found


def test_a_schema_says_what_its_version_said_and_the_listed_additions(
    schema: Schema, held: dict[str, list[str]]
) -> None:
    assert differences(schema, held["frozen"], held["additions"]) == ""


def test_what_is_frozen_is_fixed_by_its_digest(schema: Schema, held: dict[str, list[str]]) -> None:
    assert hashlib.sha256(canonical(held["frozen"])).hexdigest() == FROZEN[schema["title"]]
    assert not set(held["frozen"]) & set(held["additions"])


def _deepest(node: Schema) -> Schema:
    """An object inside, so that changes are found at any depth."""
    inner = [each for each in node["properties"].values() if "properties" in each]
    return _deepest(inner[0]) if inner else node


def _renamed(schema: Schema) -> None:
    node = _deepest(schema)
    name = node["required"].pop(0)
    node["properties"]["another"] = node["properties"].pop(name)
    node["required"].append("another")


def _set(**keywords: Any) -> Callable[[Schema], None]:
    """Put these keywords on a fact inside."""
    return lambda schema: next(iter(_deepest(schema)["properties"].values())).update(keywords)


def _value_gone(schema: Schema) -> None:
    next(each for each in schema["properties"].values() if "enum" in each)["enum"].pop()


CHANGES: dict[str, Callable[[Schema], None]] = {
    "gone": lambda schema: schema["properties"].pop(schema["required"].pop()),
    "renamed": _renamed,
    "optional": lambda schema: _deepest(schema)["required"].pop(),
    "type": _set(type=["null", "boolean"]),
    "bound": _set(minimum=-1),
    "enumerated": _set(enum=["a"]),
    "reader": _set(**{"x-pdp-phase": "result"}),
    "value gone": _value_gone,
    "open": lambda schema: _deepest(schema).update(additionalProperties=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_fact_asks_for_a_new_version(schema: Schema, held: dict[str, list[str]], change: str) -> None:
    CHANGES[change](schema)
    assert "make a new version" in differences(schema, held["frozen"], held["additions"])


def test_an_addition_is_named_until_it_is_listed(schema: Schema, held: dict[str, list[str]]) -> None:
    node = _deepest(schema)
    node["properties"]["fresh"] = {"type": "string", "enum": ["a"]}
    node["required"].append("fresh")
    said = differences(schema, held["frozen"], held["additions"])
    assert "make a new version" not in said
    lines = json.loads("[" + said.partition("\n")[2] + "]")  # as they are printed
    assert [line.rpartition("fresh")[2] for line in lines] == [" = a", " enum=below type=string always"]
    assert differences(schema, held["frozen"], [*held["additions"], *lines]) == ""
