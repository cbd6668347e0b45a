"""The store on SQLite: one file, one writer process, one commit that makes everything true at once.

Open it after worker processes that are forked without exec: they would inherit the lock and the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

from pdp.core.errors import InvalidRequest, Unavailable
from pdp.core.stored import Artefact, CallRow, Commit, RecordRef, ReplyRow, StoredRecord, SwitchRow, ValueRow
from pdp.ports import Entropy
from pdp.store.alchemy import plain_faults
from pdp.store.ledger import Head, Ledger
from pdp.store.lock import DirectoryLock
from pdp.store.options import StoreOptions
from pdp.store.people.answers import PeopleReads
from pdp.store.people.erasing import erase
from pdp.store.rows import SqliteRows
from pdp.store.schema import FILE, Opened, connect
from pdp.store.transactions import SqliteTransactions
from pdp.store.writer import Pace, State, Writer

_RECORD = "SELECT idx, id, tenant, leaf, bytes FROM records WHERE "
_VALUE = """SELECT id, v.tenant, subject, path, salt, data FROM records JOIN "values" AS v
ON seq BETWEEN idx * 16 AND idx * 16 + 15 WHERE id = ? AND path = ?"""
_CALL = "SELECT idx, tenant, subject, salt, digest, created_ns FROM calls WHERE idx = ?"
_REPLY = """SELECT key, content, kind, effect, reply, epochs, valid_until_ns, created_ns FROM replies
WHERE key = ?"""


class SqliteStore(PeopleReads):
    """Implements `ports.Store`. Reads run on the caller's thread (the event loop's) and see every commit that
    was answered."""

    def __init__(self, opened: Opened, lock: DirectoryLock, options: StoreOptions, boot: str) -> None:
        super().__init__(opened.reads)
        self._opened = opened
        self._reader = opened.reader
        self._lock = lock
        self._boot = boot
        self._path = options.path
        self._ledger = Ledger(SqliteRows(opened), Head(opened.size), options)
        pace = Pace(options.max_batch, options.max_queue, options.linger_ms / 1000, options.probe_seconds)
        self._database = SqliteTransactions(opened.writer)
        self._writer = Writer(self._database, pace, self._ledger)

    @classmethod
    def open(cls, options: StoreOptions, *, entropy: Entropy) -> SqliteStore:
        """Lock and open the store, creating it where there is none. Blocks; meant for start-up.

        Raises ConfigurationFault (`store.path`, `store.permissions`, `store.locked`, `store.schema`,
        `store.foreign`, `store.origin`, `store.durability`) and Unavailable (`store.corrupt`,
        `store.unreadable`).
        """
        lock = DirectoryLock(options.path)
        boot = entropy.bytes(16).hex()
        try:
            opened = connect(options.path, options.origin, f"pdp/{entropy.bytes(8).hex()}", boot)
        except BaseException:
            lock.release()
            raise
        return cls(opened, lock, options, boot)

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self._opened.origin

    @property
    def boot(self) -> str:
        """Names this run of the process in its records."""
        return self._boot

    @property
    def clean(self) -> bool:
        """True when the run before this one closed the store."""
        return self._opened.clean

    async def commit(self, entry: Commit) -> RecordRef:
        """Write durably and return the position.

        Raises Unavailable `record.unavailable` (not durable; see `writer` for what heals), `store.conflict`
        (another request drew a salt for the same call first: decide again), `store.entry` (this entry breaks a
        constraint, such as an id used twice); InvalidRequest `request.id_reused`; Overloaded
        `store.overloaded`. Only the first concerns other entries.
        """
        return await self._writer.submit(lambda: self._ledger.write(entry))

    async def commit_all(self, entries: tuple[Commit, ...]) -> tuple[RecordRef, ...]:
        """Write entries durably, in order and without a gap, or none of them; faults as in `commit`."""
        return await self._writer.submit(lambda: self._ledger.write_all(entries), weight=len(entries))

    async def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete what was kept of a subject (a keyed index as in ValueRow) and return the number of rows. Freed pages
        are zeroed and the WAL is emptied before this returns; records and their commitments stay, and can no longer
        be opened. Requests stay without what was shown and said, grants cover nothing any more."""
        if not subject:
            raise InvalidRequest("subject", "names nobody; give the keyed index of the subject")

        def run() -> int:
            with plain_faults():
                return erase(self._opened.people, tenant, subject)

        return await self._writer.submit(run, after=self._database.empty_log)

    def observe(self, told: Callable[[int], None]) -> None:
        """Have `told` hear of each durable batch how many records it has, on the writer's thread."""
        self._ledger.told = told

    def healthy(self) -> bool:
        """False when commits are refused."""
        return self._writer.state is State.OPEN

    def size(self) -> int:
        """Number of durable records."""
        return self._ledger.head.size

    def size_bytes(self) -> int:
        """The file and what is not yet moved into it; 0 when that cannot be told."""
        try:
            return sum(file.stat().st_size for file in self._path.glob(f"{FILE}*"))
        except OSError:
            return 0

    def record(self, record_id: str) -> StoredRecord | None:
        """By record id."""
        return self._stored(_RECORD + "id = ?", record_id)

    def record_at(self, index: int) -> StoredRecord | None:
        """By index."""
        return self._stored(_RECORD + "idx = ?", index)

    def value(self, record_id: str, path: str) -> ValueRow | None:
        """The value and salt behind one commitment; None when erased or never there."""
        row = self._row(_VALUE, record_id, path)
        return None if row is None else ValueRow(*row)

    def call(self, index: str) -> CallRow | None:
        """The salt of a call that was asked about before."""
        row = self._row(_CALL, index)
        return None if row is None else CallRow(*row)

    def reply(self, key: str) -> ReplyRow | None:
        """A stored answer."""
        row = self._row(_REPLY, key)
        return None if row is None else ReplyRow(*row)

    def artefact(self, digest: str) -> Artefact | None:
        """A bundle, set index or waiver set by digest."""
        row = self._row("SELECT digest, kind, data FROM artefacts WHERE digest = ?", digest)
        return None if row is None else Artefact(*row)

    def switches(self) -> tuple[SwitchRow, ...]:
        """All engaged switches, oldest first; one whose `until_ns` has passed goes with a later commit."""
        return self._ledger.marks.switches

    def switch_epoch(self) -> int:
        """Grows with every switch change."""
        return self._ledger.switch_epoch()

    def high_water(self, name: str) -> int:
        """0 when never set."""
        return self._ledger.marks.high_water.get(name, 0)

    def note_refusal(self, tenant: str, caller: str, code: str, at_ns: int) -> bool:
        """True when the refusal gets a record of its own; else it is counted."""
        return self._ledger.refusals.note((tenant, caller, code), at_ns)

    def aggregated_refusals(self) -> tuple[tuple[str, str, str, int], ...]:
        """(tenant, caller, code, count) beyond the quota; commit them at once as one record of kind
        `refusals`, which is what clears them from the file."""
        return self._ledger.refusals.take()

    async def close(self) -> None:
        """Finish queued commits, then close the file and release the lock. Repeating it does nothing."""
        await asyncio.to_thread(self._writer.stop)
        self._opened.reads.dispose()
        for db in (self._reader, self._opened.writer):
            with contextlib.suppress(sqlite3.Error):
                db.close()
        self._lock.release()

    def _stored(self, statement: str, key: str | int) -> StoredRecord | None:
        row = self._row(statement, key)
        if row is None:
            return None
        index, record_id, tenant, leaf, data = row
        return StoredRecord(RecordRef(self.origin, index, leaf), record_id, tenant, data)

    def _row(self, statement: str, *keys: str | int) -> Any:
        """The one row, or None. All rows are fetched, so no statement holds on to an old snapshot."""
        try:
            rows = self._reader.execute(statement, keys).fetchall()
        except sqlite3.Error as e:
            raise Unavailable("store.unreadable", "the store cannot be read; try again", detail=str(e)) from None
        return rows[0] if rows else None
