"""Policies with one change made at random."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from support.proving import with_org

from pdp.core.outcome.policy import Bundle, Module

_ORDER = re.compile(r" (<=|>=|<|>|==|!=) ")
_NUMBER = re.compile(r'(?<![\w."])\d+(?![\w.])')
_SKIPPED = ('"', "}", "]", "#", "some ", "default")


def mutants(bundle: Bundle, drawn: random.Random) -> Iterator[tuple[str, Bundle]]:
    """Bundles with one line changed, or one number or list of the organisation's data."""
    modules = [m for m in bundle.live if not m.composes and not m.path.endswith("testing.rego")]
    while True:
        if drawn.random() < 0.2:
            yield "data", with_org(bundle, lambda org: _bent(org, drawn))
            continue
        module = drawn.choice(modules)
        lines = module.text.split("\n")
        changes = [change for index, line in enumerate(lines) for change in _changes(index, line, drawn)]
        if not changes:
            continue
        index, line = drawn.choice(changes)
        text = "\n".join([*lines[:index], line, *lines[index + 1 :]])
        others = tuple(m for m in bundle.modules if m is not module)
        other = Module(module.path, text, module.shipped)
        yield f"{module.path}:{index + 1} {line.strip()}", replace(bundle, modules=(*others, other))


def _changes(index: int, line: str, drawn: random.Random) -> Iterator[tuple[int, str]]:
    text = line.strip()
    if not text or text.startswith("#"):
        return
    if line.startswith("\t") and not text.startswith(_SKIPPED) and ":=" not in text:
        yield index, ""
        yield index, line.replace(text, text.removeprefix("not ") if text.startswith("not ") else f"not {text}", 1)
    for found in _ORDER.finditer(line):
        yield (
            index,
            f"{line[: found.start(1)]}{drawn.choice(['<', '<=', '>', '>=', '==', '!='])}{line[found.end(1) :]}",
        )
    for found in _NUMBER.finditer(line):
        yield index, f"{line[: found.start()]}{int(found[0]) + drawn.choice((-1, 1))}{line[found.end() :]}"
    for one, other in (
        ("true", "false"),
        ("passkey", "signed_in"),
        ("signed_in", "passkey"),
        ("untrusted", "private"),
    ):
        if one in line:
            yield index, line.replace(one, other, 1)


def _bent(org: dict[str, Any], drawn: random.Random) -> None:
    places: list[tuple[Any, Any]] = []

    def visit(value: Any) -> None:
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(each, dict | list):
                visit(each)
            if (isinstance(each, list) and each and isinstance(each[0], str)) or type(each) is int:
                places.append((value, key))

    visit({name: each for name, each in org.items() if name != "budgets"})
    holder, key = drawn.choice(places)
    value = holder[key]
    if isinstance(value, int):
        holder[key] = value + drawn.choice((-1, 1))
    else:
        holder[key] = [*value, "interns"] if drawn.random() < 0.5 else value[1:]
