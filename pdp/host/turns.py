"""Turns of threads at Python's lock, for work in the background."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

TURN = 8  # items; a record takes the index some 50 us


def in_turns(items: Iterable[T]) -> Iterator[T]:
    """The items. After some of them the lock is let go: else the event loop waits for the interpreter's own switch,
    5 ms each time that it wants the lock back."""
    for number, item in enumerate(items, 1):
        yield item
        if number % TURN == 0:
            time.sleep(0)
