"""The log as its consumers read it, one behind the other: each row is read, hashed and parsed once for all of them.

Records alone are held, which nobody's erasure concerns, and so many bytes of them. A consumer that is further behind
reads again. Archived records are not held: who wants their bytes has them from the archive, who does not from the
store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pdp.core.record.stored import LogRow

MOST_BYTES = 2 << 20

Read = Callable[[int, int], Awaitable[Sequence[tuple[bytes, bytes]]]]


class LogFeed:
    """`records` and `leaves` read from an index on, archived records too; `archived` is how many of them there
    are."""

    def __init__(self, records: Read, leaves: Read, archived: Callable[[], int]) -> None:
        self._records, self._leaves, self._archived = records, leaves, archived
        self._held: dict[int, LogRow] = {}  # those that were read last come last
        self._bytes = 0
        self._reading = asyncio.Lock()  # so that who comes second finds what the first one reads

    async def rows(self, start: int, count: int, *, archive: bool = True) -> Sequence[LogRow]:
        """As of `ports.Log`."""
        gone = min(max(0, self._archived() - start), count)
        rows = await _read(self._records if archive else self._leaves, start, gone) if gone else []
        if len(rows) < gone:
            return rows
        async with self._reading:
            while len(rows) < count and (row := self._held.get(start + len(rows))) is not None:
                rows.append(row)
            if len(rows) < count:
                read = await _read(self._leaves, start + len(rows), count - len(rows))
                rows += read
                self._hold(read)
        return rows

    def _hold(self, rows: Sequence[LogRow]) -> None:
        for row in rows:
            again = self._held.pop(row.index, None)
            self._held[row.index] = row
            self._bytes += len(row.data) - (0 if again is None else len(again.data))
        while self._bytes > MOST_BYTES:
            self._bytes -= len(self._held.pop(next(iter(self._held))).data)


async def _read(read: Read, start: int, count: int) -> list[LogRow]:
    return [LogRow(index, leaf, data) for index, (leaf, data) in enumerate(await read(start, count), start)]
