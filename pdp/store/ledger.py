"""What the store knows in memory, kept exactly in step with what is durable: the next index, the engaged
switches, the high-water marks, and the housekeeping that rides along with commits."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence

from pdp.core.check import NS
from pdp.core.stored import Commit, RecordRef
from pdp.core.switches import ended
from pdp.store.alchemy import plain_faults
from pdp.store.clock import MARK
from pdp.store.marks import SWITCH_EPOCH
from pdp.store.options import StoreOptions
from pdp.store.people.steps import carry_out
from pdp.store.refusals import RefusalQuota
from pdp.store.rows import engaged_switches, high_waters, write
from pdp.store.schema import Opened, set_meta

# The oldest rows come first by `seq`, so a young one among the first few ends the work: no index by age.
_PRUNE = (
    "DELETE FROM replies WHERE seq IN (SELECT seq FROM replies ORDER BY seq LIMIT ?) AND created_ns < ?",
    "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls ORDER BY seq LIMIT ?) AND created_ns < ?",
)
# these have released themselves, so no epoch counts them
_SWEEP = "DELETE FROM switches WHERE until_ns BETWEEN 1 AND ?"
_PRUNE_VALUES = """DELETE FROM "values" WHERE seq IN (SELECT seq FROM "values" ORDER BY seq LIMIT ?)
AND (SELECT time_ns FROM records WHERE idx = seq / 16) < ?"""
_COUNT = "INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?)"


class Ledger:
    """Implements `writer.Hooks`. What is public changes only when a batch is durable, by replacing whole
    values, so the event loop's thread may read it at any time."""

    def __init__(self, opened: Opened, options: StoreOptions) -> None:
        db = opened.writer
        self.size = opened.size
        self.switches = engaged_switches(db)
        self.high_water = high_waters(db)
        rows = db.execute("SELECT tenant, caller, code, count FROM refusals").fetchall()
        self.refusals = RefusalQuota(options.refusals_per_minute, {(t, c, code): n for t, c, code, n in rows})
        self._origin = opened.origin
        self._next = opened.size
        self._people = opened.people
        self._ages = (options.replies_keep_seconds * NS, options.calls_keep_seconds * NS)
        self._keep_values = options.values_keep_seconds
        self._latest_ns = 0
        self._touched = False  # switches or marks changed in this batch
        self._flushed = False  # this batch carries a record of aggregated refusals
        self.told: Callable[[int], None] | None = None  # hears of each durable batch how many records it has

    def write(self, db: sqlite3.Connection, entry: Commit) -> RecordRef:
        """One entry, at the next index. When it raises, nothing here has changed and the index is used again."""
        if entry.steps:
            with plain_faults():
                carry_out(self._people, entry.steps)
        ref = write(db, entry, self._next, self._origin)
        self._next += 1
        self._latest_ns = max(self._latest_ns, entry.at_ns)
        self._touched = self._touched or entry.switch is not None or bool(entry.high_water)
        self._flushed = self._flushed or entry.kind == "refusals"
        return ref

    def write_all(self, db: sqlite3.Connection, entries: Sequence[Commit]) -> tuple[RecordRef, ...]:
        """Entries that stand together, at the next indexes. When it raises, nothing here has changed."""
        before = (self._next, self._latest_ns, self._touched, self._flushed)
        try:
            return tuple(self.write(db, entry) for entry in entries)
        except BaseException:
            self._next, self._latest_ns, self._touched, self._flushed = before
            raise

    def before_commit(self, db: sqlite3.Connection, entries: int) -> None:
        """Prune twice as fast as rows can come, and save the counts of aggregated refusals."""
        entries = max(entries, self._next - self.size)  # one piece of work may write many
        for statement, age in zip(_PRUNE, self._ages, strict=True):
            db.execute(statement, (2 * entries, self._latest_ns - age))
        self._forget(db, entries)
        if self._flushed:
            db.execute("DELETE FROM refusals")
        counts = self.refusals.unsaved(everything=self._flushed)
        if counts:
            db.executemany(_COUNT, counts)

    def _forget(self, db: sqlite3.Connection, entries: int) -> None:
        """What cannot be had again goes by the clock's persisted mark: a wrong leap of the clock does not move it."""
        believed = self.high_water.get(MARK, 0)
        if self._keep_values is not None:
            db.execute(_PRUNE_VALUES, (4 * entries, believed - self._keep_values * NS))  # a record has two
        if any(ended(switch.until_ns, believed) for switch in self.switches):
            db.execute(_SWEEP, (believed,))
            self._touched = True

    def done(self, db: sqlite3.Connection) -> None:
        """Publish what is durable now."""
        if self._touched:
            self.switches = engaged_switches(db)
            self.high_water = high_waters(db)
        written, self.size = self._next - self.size, self._next
        self._touched = self._flushed = False
        if self.told is not None and written:
            with contextlib.suppress(Exception):  # whoever watches must not be able to stop the store
                self.told(written)

    def undone(self) -> None:
        """Forget the batch."""
        self._next = self.size
        self._touched = self._flushed = False

    def closing(self, db: sqlite3.Connection) -> None:
        """The run ends well."""
        set_meta(db, "clean", "1")

    def switch_epoch(self) -> int:
        """Grows with every switch change."""
        return self.high_water.get(SWITCH_EPOCH, 0)
