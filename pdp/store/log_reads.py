"""Reads of the log that its consumers need, on either database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, Select, select

from pdp.core.record.stored import LogRow
from pdp.store import tables as t
from pdp.store.approvals.answers import PeopleReads
from pdp.store.cursors import cursor_key, position_of
from pdp.store.feed import LogFeed


class LogReads(PeopleReads, ABC):
    """What a process that writes the store and one that only follows its log read alike."""

    def __init__(self, engine: Engine, failed: Callable[[Callable[[], object]], None]) -> None:
        super().__init__(engine, failed)
        self._archived: Callable[[int, bytes], bytes] = lambda _index, _leaf: b""
        self._feed = LogFeed(
            lambda start, count: self.in_thread(self.records_from, start, count),
            lambda start, count: self.in_thread(self.leaves_from, start, count),
            self.archived,
        )

    @abstractmethod
    def archived(self) -> int:
        """Records below this index are archived."""

    def records_from(self, index: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
        """At most `count` records from an index on, as (leaf hash, bytes); b"" for one that is archived and cannot be
        read here."""
        return tuple((leaf, data or self._archived(n, leaf)) for n, (leaf, data) in self._page(index, count))

    def leaves_from(self, index: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
        """The same as the store alone has them: b"" for each that was emptied."""
        return tuple(row for _, row in self._page(index, count))

    def _page(self, index: int, count: int) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
        c = t.records.c
        rows = self._rows(select(c.leaf, c.bytes).where(c.idx.between(index, index + count - 1)).order_by(c.idx))
        return enumerate(((bytes(row["leaf"]), bytes(row["bytes"])) for row in rows), index)

    async def rows(self, start: int, count: int, *, archive: bool = True) -> Sequence[LogRow]:
        """Records from an index on; see `ports.Log`."""
        return await self._feed.rows(start, count, archive=archive)

    def read_archive(self, record: Callable[[int, bytes], bytes]) -> None:
        """Read archived records there, by index and leaf hash; b"" for one that is not there. Once, at the start."""
        self._archived = record

    def cursor(self, name: str) -> int | None:
        """The index at which a receiver goes on; None for one that never began."""
        row = self._one(select(t.meta.c.value).where(t.meta.c.name == cursor_key(name)))
        return None if row is None else position_of(bytes(row["value"]))

    def _one(self, query: Select[Any]) -> Any:
        rows = self._rows(query)
        return rows[0] if rows else None
