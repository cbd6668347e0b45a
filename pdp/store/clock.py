"""The clock that does not run back (approvals-and-audit: high-water clock)."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from pdp.core.check import NS

MARK = "clock"  # the name of its high-water mark in the store


class StoreClock:
    """Implements `ports.Clock` on a wall and a monotonic clock (both nanoseconds).

    `now_ns` never falls below the persisted mark nor below what it said before. While the wall clock is behind,
    time goes on at the monotonic clock's pace, so that what expires still expires.

    A wall clock that leaps ahead of the monotonic one by more than `jump_limit_ns` is followed (expiry fails
    closed) but flagged by `anomaly`, and `mark` then gives None: a wrong leap is not persisted, so a restart
    with a corrected clock heals it. `accept_jump` is for an operator who says that the wall clock is right.

    The service puts `("clock", mark())` into `Commit.high_water` every few seconds (5 is plenty): after a crash
    the clock can fall back by no more than that. May be read from any thread.
    """

    def __init__(
        self,
        wall: Callable[[], int],
        monotonic: Callable[[], int],
        high_water_ns: int,
        jump_limit_ns: int = 3600 * NS,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._limit = jump_limit_ns
        self._behind = wall() < high_water_ns
        self._jumped = False
        self._now = max(wall(), high_water_ns)
        self._read_at = monotonic()
        self._lock = Lock()  # a reading builds on the one before it

    def now_ns(self) -> int:
        """Wall clock, Unix nanoseconds."""
        with self._lock:
            wall, monotonic = self._wall(), self._monotonic()
            paced = self._now + max(0, monotonic - self._read_at)
            self._jumped = self._jumped or wall - paced > self._limit
            self._behind = paced - wall > NS  # slewing and rounding are no anomaly
            # an ordinary reading follows the wall; only one that would fall back is carried by the monotonic clock
            self._now = wall if wall >= self._now and not self._behind else paced
            self._read_at = monotonic
            return self._now

    def monotonic_ns(self) -> int:
        """The monotonic clock, for durations and records."""
        return self._monotonic()

    def wall_ns(self) -> int:
        """What the wall clock says, believed or not; for records of its anomalies."""
        return self._wall()

    def anomaly(self) -> str:
        """`clock.jumped`, `clock.behind`, or "" as of the last reading."""
        if self._jumped:
            return "clock.jumped"
        return "clock.behind" if self._behind else ""

    def mark(self) -> int | None:
        """The high-water mark to persist now; None while a jump is not accepted."""
        with self._lock:
            return None if self._jumped else self._now

    def accept_jump(self) -> None:
        """The wall clock is right after all."""
        with self._lock:
            self._jumped = False
