"""Documents that tell prover and engines apart: made by the solver at the edges of elements, and bent at random."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator
from typing import Any

import z3

from pdp.core.outcome.policy import Bundle
from pdp.tools.prove.elements import Element, PackElements, Reading
from pdp.tools.prove.engine import example
from pdp.tools.prove.facts import Facts
from pdp.tools.prove.terms import Guard, Untranslated, every, negated

ITEMS = 3
_WORDS = re.compile(r'"([a-z_\-:/{}@.]{2,40})"')
_WHOLE = {"risk_level": (1, 4), "minute_of_day": (0, 1439), "weekday": (1, 7)}


class Symbols:
    """One bundle's elements over symbols, with up to three items in each array."""

    def __init__(self, bundle: Bundle) -> None:
        self.reading = Reading(bundle)
        self.bundle = self.reading.bundle
        self.facts = Facts(json.loads(bundle.input_schema), lambda _: ITEMS)
        self.elements: PackElements = self.reading.elements(self.facts)
        self.good = example(bundle)

    def said(self, document: dict[str, Any]) -> set[Element] | None:
        """What is said of a document; None where it has more items than there are symbols."""
        try:
            values = list(self.facts.equations(document))
        except Untranslated:
            return None
        return {element for element, guard in self._counting() if _holds(guard, values)}

    def _counting(self) -> Iterator[tuple[Element, Guard]]:
        """The elements, each with when it counts: a grant only where its pack may grant."""
        for element, guard in self.elements.guards.items():
            yield element, every(self.elements.reach[element.pack], guard) if element.kind == "allow" else guard

    def at_edges(self) -> Iterator[dict[str, Any]]:
        """Documents in which each element is said, and is not while the call may pass."""
        solver = z3.Solver()
        solver.set("timeout", 5_000)
        solver.add(*self.facts.axioms, *self.facts.about_calls())
        for guard in self.elements.guards.values():
            for wanted in (guard, negated(guard)):
                for more in (True, self.elements.permitted()):
                    solver.push()
                    solver.add(*[each for each in (wanted, more) if each is not True])
                    if solver.check() == z3.sat:
                        yield self.facts.document(solver.model(), self.good)
                    solver.pop()


def _holds(guard: Guard, values: list[tuple[Any, Any]]) -> bool:
    return guard if isinstance(guard, bool) else z3.is_true(z3.simplify(z3.substitute(guard, *values)))


def bent(documents: list[dict[str, Any]], words: list[str], drawn: random.Random) -> Iterator[dict[str, Any]]:
    """Documents without end, each with a few values of another, or one more or less."""
    values: dict[tuple[str, ...], list[Any]] = {}
    for document in documents:
        _collect(document, (), values)
    while True:
        document = _bent(drawn.choice(documents), (), values, words, drawn)
        target, server = document["targets"][0], document["server"]["id"]
        called = {"server": server, "status": "ok", "key": f"{target['kind']}:{target['name']}"}  # as `about_calls`
        yield {**document, "targets": [{**target, **called}]}


def words_of(bundle: Bundle) -> list[str]:
    """The texts that rules are written with."""
    return sorted({word for module in bundle.live for word in _WORDS.findall(module.text)})


def _collect(value: Any, path: tuple[str, ...], values: dict[tuple[str, ...], list[Any]]) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            _collect(each, (*path, name), values)
        return
    values.setdefault(path, []).append(value)
    for each in value if isinstance(value, list) else ():
        _collect(each, (*path, "[]"), values)


def _bent(value: Any, path: tuple[str, ...], values: Any, words: list[str], drawn: random.Random) -> Any:
    if isinstance(value, dict):
        return {name: _bent(each, (*path, name), values, words, drawn) for name, each in value.items()}
    if isinstance(value, list):
        items = [_bent(each, (*path, "[]"), values, words, drawn) for each in value]
        other = path != ("targets",) and drawn.random() < 0.06
        return copy.deepcopy(drawn.choice(values[path])) if other else items
    if path[:2] == ("arguments", "value") and drawn.random() < 0.1:
        return drawn.choice([drawn.choice(words), None, True, 0, 1.5, [], {}])
    if drawn.random() < 0.06 and path in values:
        return drawn.choice(values[path])
    if isinstance(value, int) and not isinstance(value, bool) and drawn.random() < 0.03:
        least, most = _WHOLE.get(path[-1], (0, 2**53 - 2))
        return max(least, min(most, value + drawn.choice((-1, 1))))
    return value
