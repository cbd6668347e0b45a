"""Arguments as a page shows them: what is long is cut in the middle, never silently, and never its end.

Whoever approves must have seen everything: a page on which anything is cut offers to show it all, and only then to
approve.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pdp.core.approvals.view import ArgumentRow

MAX_TEXT = 480  # characters of one value
MAX_ROWS = 80
PAGE_ROWS = 400  # where nothing is cut
_HEAD, _TAIL, _MAX_TAIL = 240, 120, 200


@dataclass(frozen=True, slots=True)
class Text:
    """A text, or its beginning and its end with how much is left out between."""

    head: str
    hidden: int = 0
    tail: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Row:
    """One argument. `folder` and `name` are its JSON Pointer, split before the last segment."""

    folder: str
    name: str
    type: str
    value: Text
    change: str
    previous: Text
    secret: str  # its kind, in place of both texts


@dataclass(frozen=True, slots=True)
class Arguments:
    """Rows of a page: the first ones, with long values cut, or one part of all, whole. `cut`: something is left out
    of a value, or rows are of which this is not a part. `part` of `parts` begins at row `begin`; parts count from 1,
    and do not depend on what is compared."""

    rows: tuple[Row, ...]
    total: int
    begin: int
    part: int
    parts: int
    cut: bool
    compared: bool

    @property
    def more(self) -> int:
        """Rows after these."""
        return self.total - self.begin - len(self.rows)


def arguments(rows: Sequence[ArgumentRow], *, part: int) -> Arguments:
    """Rows for a page; part 0 is what a page shows at first."""
    parts = max(1, -(-len(rows) // PAGE_ROWS))
    part = min(part, parts)
    begin, size = (PAGE_ROWS * (part - 1), PAGE_ROWS) if part else (0, MAX_ROWS)
    shown = tuple(_row(row, everything=part > 0) for row in rows[begin : begin + size])
    cut = not part and (len(rows) > size or any(row.value.hidden or row.previous.hidden for row in shown))
    return Arguments(shown, len(rows), begin, part, parts, cut, any(row.change != "none" for row in rows))


def fold(text: str, *, everything: bool) -> Text:
    """Cut a long text in the middle. The end begins with the last segment of a path, where that is not too long."""
    if everything or len(text) <= MAX_TEXT:
        return Text(text, length=len(text))
    slash = max(text.rfind("/", -_MAX_TAIL), text.rfind("\\", -_MAX_TAIL))
    at = min(slash, len(text) - _TAIL) if slash >= 0 else len(text) - _TAIL
    return Text(text[:_HEAD], at - _HEAD, text[at:], len(text))


def _row(row: ArgumentRow, *, everything: bool) -> Row:
    folder, slash, name = row.pointer.rpartition("/")
    texts = (row.value_json, row.previous_json)
    value, previous = (fold(text, everything=everything or row.secret) for text in texts)
    secret = str(json.loads(row.value_json or row.previous_json)).strip("⟨⟩") if row.secret else ""
    return Row(folder + slash, name or "(all of them)", row.type, value, row.change, previous, secret)
