"""Values in a text, verbatim: what stands between blanks, quotes and brackets, apart from the marks of a sentence.

Nothing is folded but the composition of characters (NFC) and the width of blanks in the text, which a line break
changes. A value with other letters, marks or blanks is another value. Two things compare by what they say: a JSON
number is a number in whatever spelling the text has, and an instant (`2024-05-19 12:00`) may be put together from
a date and a time that stand side by side.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cached_property

Scalar = str | Decimal  # a text or a number of JSON
_Edges = tuple[tuple[int, ...], tuple[int, ...]]  # where a value may begin, and end
MAX_TEXT = 262_144  # characters of one text that are read
_MARKS = 3  # of one edge that may or may not belong to a value
_OPENING, _CLOSING = "'([{\u2018\u00bf\u00a1", "')]}.,;:!?\u2026\u2019"
_PAIRS = {")": "(", "]": "[", "}": "{"}
_APOSTROPHES = "'\u2019"
_CURRENCY = "$\u20ac\u00a3\u00a5"
_APART = r"\s\"`<>\u00ab\u00bb\u201c-\u201f"
# a comma divides neither a number nor an address
_SEGMENT = re.compile(rf"[A-Za-z][\w+.-]*://[^{_APART}]+|(?:[^{_APART};,]|(?<=\d),(?=\d))+")
_DIVIDED = re.compile(rf"[{_APART};,]")
_BLANKS = re.compile(r"\s+")
_SAYS = re.compile(r"[^\W_]")
_PLAIN = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,18})?", re.ASCII)
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:,\d{3}){1,5}(?:\.\d{1,18})?", re.ASCII)
_DATE = r"(?<![\w.:/-])(?P<date>\d{4}-\d\d-\d\d)(?![\w/-])"
_TIME = r"(?<![\w.:/-])(?P<time>\d\d?:\d\d(?::\d\d)?)(?![\w:/-])"
_BETWEEN = r",?[ \t]+(?:[^\W\d_]+[ \t]+)?"  # "on", "at", "um"
_INSTANTS = tuple(re.compile(one + _BETWEEN + other) for one, other in ((_DATE, _TIME), (_TIME, _DATE)))


class Wording:
    """A text as values stand in it."""

    def __init__(self, text: str) -> None:
        text = unicodedata.normalize("NFC", text)
        self.instants = frozenset(_instants(text))
        self.text = _BLANKS.sub(" ", text).strip()
        self._segments = [each.span() for each in _SEGMENT.finditer(self.text)]
        self._known: dict[int, _Edges] = {}

    @cached_property
    def numbers(self) -> frozenset[Decimal]:
        """The numbers that stand here, each in one segment."""
        found = (number_in(each) for each in self.phrases(1) if each[-1].isdigit())
        return frozenset(number for number in found if number is not None)

    @cached_property
    def words(self) -> frozenset[str]:
        """The values that stand here in one segment."""
        return frozenset(self.phrases(1))

    def holds(self, value: str) -> bool:
        """Whether a value stands here, of any length."""
        value = unicodedata.normalize("NFC", value)
        if value in self.words:
            return True
        if not _DIVIDED.search(value) or not _SAYS.search(value):
            return False
        starts, ends = self._bounds
        at = self.text.find(value)
        while at >= 0 and not (at in starts and at + len(value) in ends):
            at = self.text.find(value, at + 1)
        return at >= 0

    def phrases(self, length: int) -> Iterator[str]:
        """What stands here in so many segments."""
        for first in range(len(self._segments) - length + 1):
            for start in self._edges(first)[0]:
                for end in self._edges(first + length - 1)[1]:
                    if start < end and _SAYS.search(self.text, start, end):
                        yield self.text[start:end]

    @cached_property
    def _bounds(self) -> tuple[frozenset[int], frozenset[int]]:
        edges = [self._edges(number) for number in range(len(self._segments))]
        starts = frozenset(at for starts, _ in edges for at in starts)
        return starts, frozenset(at for _, ends in edges for at in ends)

    def _edges(self, number: int) -> _Edges:
        """Where a value may begin and end in a segment: with the marks around it, and without."""
        if number not in self._known:
            self._known[number] = self._found(*self._segments[number])
        return self._known[number]

    def _found(self, start: int, end: int) -> _Edges:
        text, starts, ends = self.text, [start], [end]
        while len(starts) <= _MARKS and _divides(text[starts[-1] - 1 : starts[-1]]):
            starts.append(starts[-1] - 1)
        while len(ends) <= _MARKS and _divides(text[ends[-1] : ends[-1] + 1]):
            ends.append(ends[-1] + 1)
        if text[start].isalnum() and text[end - 1].isalnum() and text[end - 2] not in _APOSTROPHES:
            return tuple(starts), tuple(ends)
        first, last = start, end
        for _ in range(_MARKS):
            if not _opened(text, first, end):
                break
            first += 1
            starts.append(first)
        for _ in range(_MARKS):
            if (shorter := _ended(text, first, last)) == last:
                break
            last = shorter
            ends.append(last)
        return tuple(starts), tuple(ends)


def _divides(mark: str) -> bool:
    return mark not in ("", " ") and bool(_DIVIDED.match(mark))


def _opened(text: str, start: int, end: int) -> bool:
    """Whether the first mark of a segment is none of a value's."""
    mark, before = text[start], text[start - 1 : start]
    if start + 1 == end:
        return False
    if mark in _CURRENCY:
        return text[start + 1].isdigit()
    return mark in _OPENING or (mark == ":" and before == '"')  # a member of JSON without blanks


def _ended(text: str, start: int, end: int) -> int:
    """The end of a segment without its last mark; the same where that belongs to it."""
    if end - start > 2 and text[end - 1] == "s" and text[end - 2] in _APOSTROPHES:
        return end - 2
    last, rest = text[end - 1], text[start : end - 1]
    if last in _CURRENCY and rest[-1:].isdigit():
        return end - 1
    if last not in _CLOSING or not rest:
        return end
    if last in _PAIRS and rest.count(_PAIRS[last]) > rest.count(last):
        return end
    if last == "." and rest.endswith("."):  # `..` is a folder, three dots are a mark
        return end - 3 if rest.endswith("..") and not rest.endswith("...") and len(rest) > 2 else end
    return end - 1


def number_in(text: str) -> Decimal | None:
    """The number that a text is, in decimal digits, with or without commas between thousands."""
    if _THOUSANDS.fullmatch(text):
        return Decimal(text.replace(",", ""))
    return Decimal(text) if _PLAIN.fullmatch(text) else None


def atoms(texts: Iterable[str], longest: int) -> Iterator[str]:
    """The atoms of all values of up to `longest` segments that stand in texts, the short ones first."""
    wordings = [Wording(text) for text in texts]
    for each in wordings:
        for word in each.phrases(1):
            yield word
            if word[-1].isdigit() and (number := number_in(word)) is not None:
                yield atom(number)
        yield from each.instants
    for length in range(2, longest + 1):
        for each in wordings:
            yield from each.phrases(length)


def atom(value: Scalar) -> str:
    """A value as it is compared. A line break tells a number from a text that says the same."""
    if not isinstance(value, str):
        return f"\n{text_of(value)}"
    text = unicodedata.normalize("NFC", value)
    return f"\n{text}" if text.startswith("\n") else text


def text_of(value: Scalar) -> str:
    """A value as a text; a number in its one spelling."""
    if isinstance(value, str):
        return value
    return f"{value.normalize():f}" if value else "0"


def _instants(text: str) -> Iterator[str]:
    for pattern in _INSTANTS:
        for found in pattern.finditer(text):
            yield f"{found['date']} {found['time']}"
