"""Instruction-like text by what a sentence is about, for wordings that no list of phrases foresees.

A sentence is looked at for concepts (a secret, handing over, hiding, people, rules, setting aside, ...); some
concepts do not meet in one sentence of an honest description.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdp.registry.scan.finding import Rule, excerpt_of
from pdp.registry.scan.phrasing import compiled
from pdp.registry.scan.rules import CONCEPTS, SENTENCES, phrase

_SENTENCE = re.compile(r"(?<=[.!?])[\s\"')*_`]+|\n\s*\n|\n\s*[-*•]\s")
MAX_SENTENCES = 2_000  # of one text that are looked at
_SHORTEST = 12

_SHAPES = {name: compiled(pattern) for name, pattern in CONCEPTS.items()}


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Concepts that tell of poison when one sentence holds them all."""

    rule: Rule
    concepts: tuple[tuple[str, ...], ...]


def _meeting(table: dict[str, Any]) -> _Meeting:
    help_ = f"A sentence that {table['what']}. Read the whole text: a description describes, it does not give orders."
    concepts = tuple(tuple(held.split()) for held in table["concepts"])
    return _Meeting(Rule(f"sentence.{table['code']}", "high", help_), concepts)


_EVERYWHERE = tuple(_meeting(table) for table in SENTENCES if not table.get("of_property"))
_OF_PROPERTIES = tuple(_meeting(table) for table in SENTENCES if table.get("of_property"))
_DENIAL = compiled(phrase("denial"))  # what a clause denies from its first word on, it does not ask for
_CLAUSE = re.compile(r"[,:;]|\b(?:but|instead|still|however|rather|yet)\b| [-\u2013\u2014] ")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a text, but for those too short to say anything."""
    return (part for part in _SENTENCE.split(text) if part and len(part) > _SHORTEST)


def meetings(folded: str, *, of_property: bool) -> Iterator[tuple[Rule, str]]:
    """Rules that hold of one folded sentence; a parameter's description asks for what it describes."""
    held: dict[str, bool] = {}
    if _DENIAL.match(folded):
        folded = _CLAUSE.split(folded, maxsplit=1)[-1] if _CLAUSE.search(folded) else ""

    def holds(concept: str) -> bool:
        if concept not in held:
            held[concept] = _SHAPES[concept].search(folded) is not None
        return held[concept]

    for meeting in _EVERYWHERE + _OF_PROPERTIES if of_property else _EVERYWHERE:
        for concepts in meeting.concepts:
            if all(holds(concept) for concept in concepts):
                yield meeting.rule, excerpt_of(folded)
                break
