"""Rules of the scan, and their tables: patterns are data (`rules.toml`), for reviewers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pdp.core.tables import tables

Severity = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the scan. `help` is the advice to a reviewer."""

    code: str
    severity: Severity
    help: str


_TABLES: Mapping[str, Any] = tables(__file__)

SETS: dict[str, str] = _TABLES["sets"]
CONCEPTS: dict[str, str] = _TABLES["concepts"]
SENTENCES: list[dict[str, Any]] = _TABLES["sentences"]
PHRASES: list[dict[str, Any]] = _TABLES["phrases"]
LOOKALIKES: dict[str, str] = _TABLES["lookalikes"]


def rule_of(code: str) -> Rule:
    """A row of `[rules]`."""
    return Rule(code, *_TABLES["rules"][code])


def shape(name: str) -> re.Pattern[str]:
    """A compiled expression of `[shapes]`."""
    return re.compile(_TABLES["shapes"][name])


def phrase(name: str) -> str:
    """An expression of `[shapes]` in the language of phrases."""
    return str(_TABLES["shapes"][name])


def words(name: str) -> frozenset[str]:
    """A list of `[words]`."""
    return frozenset(_TABLES["words"][name].split())
