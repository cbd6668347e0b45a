"""Changes made at random to the shipped packs: what is proved is refuted by no document, and what the engine shows to
widen is never proved."""

from __future__ import annotations

import itertools
import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.proving import EXAMPLES, shipped, with_org
from support.sweeps import WHOLE

from pdp.core.errors import BundleFault
from pdp.core.outcome.policy import Bundle, Module

pytest.importorskip("z3")  # the extra `prove`
documents = pytest.importorskip("support.proof_documents")
engine = pytest.importorskip("pdp.tools.prove.engine")
proof = pytest.importorskip("pdp.tools.prove.proof")

SEED = int(os.environ.get("PROVE_SEED", "20261123"))
MUTANTS = int(os.environ.get("PROVE_MUTANTS", "300" if WHOLE else "4"))
DOCUMENTS = int(os.environ.get("PROVE_DOCUMENTS", "10000" if WHOLE else "150"))
RANK = {"deny": 0, "pending": 1, "allow": 2}
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


def outcome(example: str, number: int) -> Counter[str]:
    old = shipped(example)
    symbols = documents.Symbols(old)
    real, drawn = engine.Engine(symbols.bundle), random.Random(SEED)
    edges = list(symbols.at_edges())
    more = documents.bent(edges, documents.words_of(old), drawn)
    asked = [{**each, "phase": "call"} for each in [*edges, *itertools.islice(more, DOCUMENTS)]]
    before = [real.ask(each) for each in asked]
    counted: Counter[str] = Counter()
    for name, new in itertools.islice(mutants(symbols.bundle, drawn), number):
        found = proof.prove(old, new)
        if any("syntax" in gap.why or "load gate" in gap.why for gap in found.gaps):
            counted["refused by the gate"] += 1
            continue
        counted[found.verdict] += 1
        if found.verdict == proof.WIDENS:
            continue
        try:
            after = engine.Engine(proof.Reading(new).bundle)
        except BundleFault:
            continue
        wider = any(loosened(one, after.ask(each)) for one, each in zip(before, asked, strict=True))
        assert not (wider and found.verdict == proof.PROVED), name
        counted[f"{found.verdict}, and the engine shows that it widens"] += wider
    return counted


def loosened(before: Any, after: Any) -> bool:
    """Whether the engine's two answers show a widening."""
    if RANK[after.effect] > RANK[before.effect]:
        return True
    if before.error or after.error or after.effect == "deny":
        return False
    wanted, kept = ([each.fields for each in answer.elements if each.kind == "require"] for answer in (before, after))
    ids = {each["id"] for each in kept}
    return any(each["id"] not in ids for each in wanted)


@pytest.mark.sweep
@pytest.mark.parametrize("example", EXAMPLES)
def test_no_proof_is_refuted(example: str, record_property: Callable[[str, object], None]) -> None:
    counted = outcome(example, MUTANTS)
    record_property(example, dict(counted))
    looked_at = sum(counted[verdict] for verdict in (proof.PROVED, proof.WIDENS, proof.NOT_PROVED))
    assert looked_at
    assert counted[proof.NOT_PROVED] <= max(2, looked_at * 0.1)
