"""Novelty of a call beside earlier approved calls of the same rule. Pure.

New are hosts, recipients and folders that no earlier call had, and amounts above all earlier ones. Earlier calls are
those visible to the reader; without any, nothing is new.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pdp.core.approvals.view import ArgumentRow, NewFact, Novelty

MAX_NEW = 20
_MAX_READ = 20_000  # characters of a value
_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]{1,20}://(?:[^/@\s\"'<>]{0,200}@)?([^/:?#\s\"'<>@]{1,255})")
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PATH = re.compile(r"(?:[A-Za-z]:)?[\w.@~+ -]{0,255}(?:[/\\][\w.@~+ -]{0,255}){1,64}")


@dataclass(frozen=True, slots=True)
class Precedent:
    """An earlier call: its rows, and whether the reader approved it."""

    rows: tuple[ArgumentRow, ...]
    mine: bool


def novelty(rows: Sequence[ArgumentRow], earlier: Sequence[Precedent]) -> Novelty | None:
    """The new facts; None without earlier calls."""
    if not earlier:
        return None
    now = _plain(rows)
    same = [each for each in earlier if now is not None and _plain(each.rows) == now]
    earlier_names = {(kind, text.lower()) for each in earlier for kind, text, _ in _names(each.rows)}
    new = {
        (kind, text): NewFact(kind, text, pointer)
        for kind, text, pointer in reversed(list(_names(rows)))
        if (kind, text.lower()) not in earlier_names
    }
    facts = [*reversed(new.values()), *_amounts(rows, earlier)]
    return Novelty(len(earlier), len(same), sum(each.mine for each in same), tuple(facts[:MAX_NEW]))


def _plain(rows: Sequence[ArgumentRow]) -> list[tuple[str, str]] | None:
    """The arguments for comparison; None with a secret among them."""
    if any(row.secret for row in rows):
        return None
    return [(row.pointer, row.value_json) for row in rows if row.value_json]


def _names(rows: Sequence[ArgumentRow]) -> Iterator[tuple[str, str, str]]:
    """Kind, text and pointer of each host, recipient and folder."""
    for row in rows:
        if row.type != "string" or row.secret or not row.value_json:
            continue
        text = str(json.loads(row.value_json))[:_MAX_READ]
        for address in _ADDRESS.findall(text):
            yield "recipient", address, row.pointer
        for host in _URL.findall(text):
            yield "host", host, row.pointer
        if "://" not in text and _PATH.fullmatch(text):
            folder = re.split(r"[/\\][^/\\]*$", text)[0] or "/"
            yield "folder", folder, row.pointer


def _amounts(rows: Sequence[ArgumentRow], earlier: Sequence[Precedent]) -> Iterator[NewFact]:
    """Numbers above all earlier ones at the same pointer; items of a list count as one pointer."""
    most: dict[str, float] = {}
    for each in earlier:
        for place, number, _ in _numbers(each.rows):
            most[place] = max(number, most.get(place, number))
    for place, number, row in _numbers(rows):
        if place in most and number > most[place]:
            yield NewFact("amount", row.value_json, row.pointer, json.dumps(most[place]))


def _numbers(rows: Sequence[ArgumentRow]) -> Iterator[tuple[str, float, ArgumentRow]]:
    for row in rows:
        if row.type in ("integer", "number") and row.value_json and not row.secret:
            yield re.sub(r"/\d+(?=/|$)", "/*", row.pointer), json.loads(row.value_json), row
