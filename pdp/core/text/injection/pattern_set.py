"""A search for many patterns at once, which tries each only where a match may begin.

The parse tree of a pattern gives the beginnings of its matches: up to `_LENGTH` characters, from a finite set. In one
pass over the text, at each beginning of a word the patterns with that beginning are tried. The matches are those of
the patterns by themselves, since no place of a match is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

_LENGTH = 5  # characters of a beginning
_MOST = 4_096  # beginnings of one pattern
_CLASS = 40  # characters of a class that are enumerated
_KEPT = 1 << 14  # cached heads of words
WORD_START = r"(?<![a-z0-9])"
_Begun = set[tuple[str, bool]]  # a beginning, and whether its continuation is known


class PatternSet:
    """Patterns that begin with `WORD_START`, numbered by their place in a sequence."""

    def __init__(self, patterns: Sequence[re.Pattern[str]]) -> None:
        self._patterns = patterns
        self._anywhere: list[int] = []  # patterns with unknown beginnings
        self._starting: dict[str, list[int]] = {}
        for number, pattern in enumerate(patterns):
            starts = beginnings(pattern)
            if starts is None:
                self._anywhere.append(number)
            for start in starts or ():
                self._starting.setdefault(start, []).append(number)
        chars = re.escape("".join(sorted({start[0] for start in self._starting})))
        self._places = re.compile(f"{WORD_START}[{chars}]" if chars else "(?!)")
        self._candidates = lru_cache(_KEPT)(self._with_head)

    def first(self, text: str) -> dict[int, re.Match[str]]:
        """The first match of each pattern that has one."""
        first_matches: dict[int, re.Match[str]] = {}
        patterns, candidates = self._patterns, self._candidates
        for number in self._anywhere:
            if (match := patterns[number].search(text)) is not None:
                first_matches[number] = match
        for place in self._places.finditer(text):
            at = place.start()
            for number in candidates(text[at : at + _LENGTH]):
                if number not in first_matches and (match := patterns[number].match(text, at)) is not None:
                    first_matches[number] = match
        return first_matches

    def _with_head(self, head: str) -> tuple[int, ...]:
        """The patterns that may match at a text with this head."""
        starts = (head[:length] for length in range(1, len(head) + 1))
        return tuple(sorted(number for start in starts for number in self._starting.get(start, ())))


def beginnings(pattern: re.Pattern[str]) -> frozenset[str] | None:
    """The possible beginnings of a pattern's matches; None where there are too many, or it ignores case."""
    if pattern.flags & re.IGNORECASE or not pattern.pattern.startswith(WORD_START):
        return None
    begun = _sequence(parser.parse(pattern.pattern, pattern.flags), {("", True)})
    starts = frozenset(text for text, _ in begun)
    return None if "" in starts or " " in {text[0] for text in starts} or len(starts) > _MOST else starts


def _sequence(items: Iterable[tuple[Any, Any]], begun: _Begun) -> _Begun:
    for code, argument in items:
        going = {each for each in begun if each[1] and len(each[0]) < _LENGTH}
        if not going or len(begun) > _MOST:
            break
        begun = (begun - going) | _item(code, argument, going)
    return begun


def _item(code: Any, argument: Any, going: _Begun) -> _Begun:
    """The beginnings of `going` continued by an item."""
    if code in (op.AT, op.ASSERT, op.ASSERT_NOT):  # they take no characters
        return going
    if code is op.SUBPATTERN:
        return _sequence(argument[-1], going)
    if code is op.BRANCH:
        return {each for branch in argument[1] for each in _sequence(branch, going)}
    if code in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        least, most, inner = argument
        once = _sequence(inner, going)
        return (once if most == 1 else _unknown(once)) | (going if least == 0 else set())
    chars = [chr(argument)] if code is op.LITERAL else list(_characters(argument)) if code is op.IN else []
    return {(text + char, True) for text, _ in going for char in chars} if chars else _unknown(going)


def _unknown(begun: _Begun) -> _Begun:
    return {(text, False) for text, _ in begun}


def _characters(members: Iterable[tuple[Any, Any]]) -> Iterator[str]:
    """The characters of a class; none for a large one."""
    codes: list[int] = []
    for code, argument in members:
        if code is op.LITERAL:
            codes.append(argument)
        elif code is op.RANGE and argument[1] - argument[0] < _CLASS:
            codes.extend(range(argument[0], argument[1] + 1))
        else:
            return
    if len(codes) <= _CLASS:
        yield from map(chr, codes)
