"""Encoded text with places for values: made by running an encoder once on marks, so that the encoder alone knows the
form. Pure; the marks are an argument, and nobody who is encoded can know them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class Template:
    """A text, and which value stands at each of its places."""

    _text: str  # in the form of the `%` operator
    _order: Any  # from the values to those of the places, in order

    @classmethod
    def of(cls, text: str, marks: Sequence[str]) -> Template | None:
        """The template of a text in which each mark stands exactly once, whole; None where one does not."""
        if any(text.count(mark) != 1 for mark in marks):
            return None
        order = sorted(range(len(marks)), key=lambda number: text.index(marks[number]))
        parts, rest = [], text
        for number in order:
            before, found, rest = rest.partition(marks[number])
            if not found:  # it overlaps the one before
                return None
            parts.append(before)
        escaped = [part.replace("%", "%%") for part in (*parts, rest)]
        return cls("%s".join(escaped), itemgetter(*order))

    def __len__(self) -> int:
        return len(self._text)

    def filled(self, *values: object) -> str:
        """The text with these values, encoded as they stand there, in the order of the marks."""
        text: str = self._text % self._order(values)
        return text
