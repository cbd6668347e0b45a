"""The log as its consumers follow it: what this process committed comes from memory, all else from the store.

From its first read on a feed takes in each durable batch, and lets go of what was read. What it does not have (of
another process, from before a restart, or of longer ago than it has room for) is read from the store: a gap costs
time and nothing else. An erasure empties it, so that nothing is told afterwards of what the store no longer has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from threading import Lock

from pdp.core.record.stored import LogRow

MOST_BYTES = 8 << 20  # of records and documents that one consumer has not read yet

Rows = Sequence[tuple[bytes, bytes]]


class LogFeed:
    """Implements `ports.LogFeed`, for one consumer. `read` gives leaf hashes and records of the store."""

    def __init__(self, read: Callable[[int, int], Awaitable[Rows]]) -> None:
        self._read = read
        self._rows: dict[int, LogRow] = {}  # in the log's order
        self._bytes = 0
        self._followed = False
        self._lock = Lock()  # the writer's thread brings, the consumer takes

    def bring(self, rows: Sequence[LogRow]) -> None:
        """Take in what is durable from now on."""
        with self._lock:
            if not self._followed:
                return
            for row in rows:
                self._rows[row.index] = row
                self._bytes += row.size
            while self._bytes > MOST_BYTES:
                self._drop(next(iter(self._rows)))

    def _drop(self, index: int) -> None:
        self._bytes -= self._rows.pop(index).size

    async def rows(self, start: int, count: int) -> Sequence[LogRow]:
        """As of the port."""
        with self._lock:
            self._followed = True
            while self._rows and (first := next(iter(self._rows))) < start:
                self._drop(first)
            found = list[LogRow]()
            while len(found) < count and (row := self._rows.get(start + len(found))) is not None:
                found.append(row)
        if len(found) < count:
            start += len(found)
            rest = await self._read(start, count - len(found))
            found += [LogRow(index, leaf, data) for index, (leaf, data) in enumerate(rest, start)]
        return found

    def leave(self) -> None:
        """As of the port."""
        with self._lock:
            self._followed = False
        self.empty()

    def empty(self) -> None:
        """Forget what was not read yet; it is read from the store."""
        with self._lock:
            self._rows, self._bytes = {}, 0
