"""The task statement: what somebody else than the agent says that the user wants."""

from __future__ import annotations

import unicodedata
from decimal import Decimal
from functools import lru_cache

from pdp.core.verbatim import MAX_TEXT, Scalar, Wording, text_of

VOUCHED = ("subject_signed", "caller")  # sources of a task statement


class StatedTask:
    """A vouched statement, false where there is none. Holds the values that stand in it, of any length."""

    __slots__ = ("_stated", "_wording")

    def __init__(self, task: str) -> None:
        self._stated = bool(task)
        self._wording = Wording(task[:MAX_TEXT])

    def __bool__(self) -> bool:
        return self._stated

    def __contains__(self, value: object) -> bool:
        if isinstance(value, Decimal):
            return value in self._wording.numbers
        return isinstance(value, str) and (self.spells(value) or value in self._wording.instants)

    def spells(self, value: Scalar) -> bool:
        """Whether it has this very text."""
        return self._wording.holds(unicodedata.normalize("NFC", text_of(value)))


@lru_cache(256)  # a task comes with each of its calls
def of_task(task: str) -> StatedTask:
    """The statement, read."""
    return StatedTask(task)


def vouched_task(task: str | None, source: str) -> StatedTask:
    """The task that somebody else than the agent vouches for; empty without one."""
    return of_task(task if task and source in VOUCHED else "")
