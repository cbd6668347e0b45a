"""What this system gives a process: randomness, a clock for durations, memory."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from functools import partial

YOUNG_OBJECTS = 20_000  # that may come to live before the collector looks at them


class SystemEntropy:
    """The operating system's randomness."""

    bytes = staticmethod(os.urandom)


# The monotonic clock, which also counts while the machine is suspended: waking up is no leap of its wall clock. Linux
# has a clock of its own for that.
elapsed_ns: Callable[[], int] = partial(time.clock_gettime_ns, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def settle() -> None:
    """Freeze loaded objects, so that the garbage collector skips them; a call leaves it few, so it looks seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
