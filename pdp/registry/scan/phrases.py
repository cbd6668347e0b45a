"""Instruction-like text: what a description says to the model instead of about the tool.

`high` is what no honest description needs; `medium` is what honest ones say too, and counts for more when it comes
together (`together`). The phrases are in `rules.toml`, tuned as `docs/scan.md` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdp.registry.scan.finding import Rule, Severity, excerpt_of
from pdp.registry.scan.phrasing import compiled
from pdp.registry.scan.rules import PHRASES

_READ = "A definition describes; it does not give the model orders of its own. Read the whole text before accepting."


@dataclass(frozen=True, slots=True)
class Phrases:
    """A rule and the phrases that it looks for; `sign` is the kind of sign it is when several come together;
    `other_script` says that no ASCII text holds any of them."""

    rule: Rule
    patterns: tuple[re.Pattern[str], ...]
    sign: str = ""
    other_script: bool = False


def _phrases(table: dict[str, Any]) -> Phrases:
    severity: Severity = "high" if table["severity"] == "high" else "medium"
    rule = Rule(table["code"], severity, f"{table['help']} {_READ}")
    patterns = tuple(compiled(pattern) for pattern in table["patterns"])
    return Phrases(rule, patterns, table["sign"], table.get("other_script", False))


RULES = tuple(_phrases(table) for table in PHRASES)
TOGETHER = Rule(
    "instruction.together",
    "high",
    "Several signs that honest descriptions rarely show at once: " + _READ,
)
_SIGNS_NEEDED = 3
_PAIRS = (
    frozenset({"secret_word", "threat"}),
    frozenset({"answer", "threat"}),
    frozenset({"path", "order"}),
    frozenset({"path", "threat"}),
    frozenset({"address_word", "order"}),
    frozenset({"answer", "address_word"}),
)


def instructions(folded: str) -> Iterator[tuple[Phrases, str]]:
    """Each rule that holds of a folded text, with an excerpt."""
    for phrases in RULES:
        for pattern in () if phrases.other_script and folded.isascii() else phrases.patterns:
            if (match := pattern.search(folded)) is not None:
                yield phrases, excerpt_of(folded, match.start(), match.end())
                break


def together(signs: frozenset[str]) -> bool:
    """Whether the signs in one text add up."""
    return len(signs - {"secret_word"}) >= _SIGNS_NEEDED or any(pair <= signs for pair in _PAIRS)
