"""Other values that a fact might have had, for the search of `changes`.

They are taken from the document itself, the organisation's data and the literals of its packs: values that policy
knows, not all that there are.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pdp.core.changes import HELD_NS, Document, Step
from pdp.core.digest import Json, canonical
from pdp.core.explain import escape
from pdp.core.policy import Bundle

_IDENTIFIED: tuple[tuple[str, Json], ...] = (
    ("/subject/source", "verified"),
    ("/subject/kind", "human"),
    ("/agent/source", "verified"),
    ("/agent/kind", "oauth_client"),
)
_MAX_NUMBERS = 8  # alternatives of one number
_MEMBER = re.compile(r'"([^"\\\n]{1,200})"\s+in\s+input\.subject\.(groups|scopes)')
_WAIVABLE = re.compile(r'"code":\s*"([^"]+)",[^{}]*"waivable":\s*true')
_NUMBER = re.compile(r"(?<![\w.\"])(\d{1,15})(?![\w.\"])")


def alternatives(
    document: Document, bundle: Bundle, most: int, codes: Collection[str] = frozenset()
) -> tuple[Step, ...]:
    """Single changes worth trying, the likeliest first and no more than `most`: checks that pass, rights that are
    granted, arguments within limits, a session without history, a waiver, a tool of less risk. `codes` are those of
    the answer's reasons: nothing else is worth a waiver.

    Documents and data may hold many thousands of names and numbers, so no more is looked at than is asked for.
    """
    known = _Known.of(bundle)
    found = chain(
        _checks(document),
        _rights(document, known),
        _arguments(document, known),
        _history(document),
        _waivers(document, bundle, codes),
        _tool(document),
    )
    seen: dict[bytes, Step] = {}
    for step in found:
        seen.setdefault(canonical([step.how, step.path, step.value]), step)
        if len(seen) == most:
            break
    return tuple(seen.values())


@dataclass(frozen=True, slots=True)
class _Known:
    """Names and numbers that the policy itself mentions; the numbers sorted."""

    groups: tuple[str, ...]
    scopes: tuple[str, ...]
    numbers: tuple[int, ...]

    @classmethod
    def of(cls, bundle: Bundle) -> _Known:
        texts = [module.text for module in bundle.live if not module.shipped]
        members = [found for text in texts for found in _MEMBER.findall(text)]
        org = json.loads(bundle.org)
        groups = [*_named(org, ("group", "groups")), *(name for name, where in members if where == "groups")]
        numbers = [*_numbers(org), *(int(n) for text in texts for n in _NUMBER.findall(_code(text)))]
        return cls(
            tuple(dict.fromkeys(groups)),
            tuple(dict.fromkeys(name for name, where in members if where == "scopes")),
            tuple(sorted({*numbers, 0, 1})),
        )


def _code(text: str) -> str:
    """Policy text without its comments."""
    return "\n".join(line.partition("#")[0] for line in text.splitlines())


def _named(value: Any, keys: tuple[str, ...]) -> Iterator[str]:
    """Texts under these keys, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys:
                yield from (item for item in (inner if isinstance(inner, list) else [inner]) if isinstance(item, str))
            yield from _named(inner, keys)
    elif isinstance(value, list):
        for inner in value:
            yield from _named(inner, keys)


def _numbers(value: Any) -> Iterator[int]:
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield value


def _checks(document: Document) -> Iterator[Step]:
    """Every check that failed, passed."""
    anonymous = document["checks"]["subject"]["status"] != "ok"
    for part in ("checks", "call_checks"):
        for name, check in document[part].items():
            if check["status"] == "ok" or (name == "agent" and anonymous):
                continue
            also = _passed(document, part, name)
            if name == "subject":  # one credential says both who and by which agent
                also += (*_passed(document, part, "agent"), ("/checks/agent/status", "ok"), *_IDENTIFIED)
            yield Step("set", f"/{part}/{name}/status", "ok", also)
    for i, target in enumerate(document["targets"]):
        if target["status"] != "ok":
            yield Step("set", f"/targets/{i}/status", "ok", ((f"/targets/{i}/code", ""),))
    for refused in document["evidence"]:
        yield Step("drop", "/evidence", refused)


def _passed(document: Document, part: str, name: str) -> tuple[tuple[str, Json], ...]:
    """What follows when a check passes."""
    also: tuple[tuple[str, Json], ...] = ((f"/{part}/{name}/code", ""),)
    if name in document and "status" in document[name]:
        also += ((f"/{name}/status", "ok"),)
    return also


def _rights(document: Document, known: _Known) -> Iterator[Step]:
    """Scopes that the tool asks for, groups that policy knows, a shorter chain, a person who is there."""
    subject = document["subject"]
    wanted = [p for target in document["targets"] for p in target["permissions"]]
    for scope in (*wanted, *known.scopes):
        if scope not in subject["scopes"]:
            yield Step("add", "/subject/scopes", scope)
    for group in known.groups:
        if group not in subject["groups"]:
            yield Step("add", "/subject/groups", group)
    if subject["source"] != "verified":
        yield Step("set", "/subject/source", "verified")
    if subject["kind"] != "human":
        yield Step("set", "/subject/kind", "human")
    for length in range(len(document["actors"])):
        yield Step("set", "/actors", document["actors"][:length])


def _arguments(document: Document, known: _Known) -> Iterator[Step]:
    """Without a kind of finding; numbers at limits that policy knows, the nearest first; switches the other way."""
    arguments = document["arguments"]
    for finding in arguments["findings"]:
        rest = [f for f in arguments["findings"] if f["kind"] != finding["kind"]]
        yield Step("set", "/arguments/findings", rest)
    for name, value in arguments["value"].items():
        path = f"/arguments/value/{escape(name)}"
        if isinstance(value, bool):
            yield Step("set", path, not value)
        elif isinstance(value, (int, float)):
            for number in _nearest(known.numbers, value):
                yield Step("set", path, number)


def _nearest(numbers: Sequence[int], value: float) -> list[int]:
    """Of sorted numbers, those nearest to a value, and other than it."""
    low, high = bisect_left(numbers, value), bisect_right(numbers, value)
    near = [*numbers[max(0, low - _MAX_NUMBERS) : low], *numbers[high : high + _MAX_NUMBERS]]
    return sorted(near, key=lambda n: (abs(n - value), n))[:_MAX_NUMBERS]


def _history(document: Document) -> Iterator[Step]:
    """A session that has seen less."""
    session = document["session"]
    for label in session["labels"]:
        yield Step("drop", "/session/labels", label)
    for count in ("calls", "denials"):
        if session[count]:
            yield Step("set", f"/session/{count}", 0)
    if document["asserted"]["observation"] is not None:
        yield Step("set", "/asserted/observation", None)


def _waivers(document: Document, bundle: Bundle, codes: Collection[str]) -> Iterator[Step]:
    """A signed waiver of what the baseline says may be waived: sooner had than another tool."""
    texts = (module.text for module in bundle.live if module.shipped)
    waivable = {code for text in texts for code in _WAIVABLE.findall(text)}
    for code in sorted(waivable.intersection(codes)):
        waiver: Json = {
            "id": f"what-if-{code}",
            "code": code,
            "server": document["server"]["id"],
            "owner": "",
            "reason": "",
            "expires_ns": document["time"]["ns"] + HELD_NS,
        }
        yield Step("add", "/waivers", waiver)


def _tool(document: Document) -> Iterator[Step]:
    """A tool whose manifest says less of it."""
    for i, target in enumerate(document["targets"]):
        if target["risk_level"] > 1:
            yield Step("set", f"/targets/{i}/risk", "low", ((f"/targets/{i}/risk_level", 1),))
        if target["schema_open"]:
            yield Step("set", f"/targets/{i}/schema_open", False)
        for hint, best in (("read_only", True), ("destructive", False), ("open_world", False)):
            if target["annotations"][hint] is not best:
                yield Step("set", f"/targets/{i}/annotations/{hint}", best)
