"""Turns at Python's lock."""

import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pdp.host.turns import TURN, in_turns


@pytest.fixture(autouse=True)
def _no_switches() -> Iterator[None]:
    """The interpreter switches threads only where one lets go of the lock."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000.0)
    yield
    sys.setswitchinterval(before)


ITEMS = 1024 * TURN  # on a busy machine another thread may not run within a few turns


def test_other_threads_have_their_turn_between_items() -> None:
    turns, ends, begun = [0], threading.Event(), threading.Event()

    def other() -> None:
        while not ends.is_set():
            turns[0] += 1
            begun.set()
            time.sleep(0)

    thread = threading.Thread(target=other)
    thread.start()
    begun.wait()
    seen = [(item, turns[0]) for item in in_turns(range(ITEMS))]
    ends.set()
    thread.join()
    assert [item for item, _ in seen] == list(range(ITEMS))
    assert len({had for _, had in seen}) > 1
