"""The store on SQLite: one file, one writer process, one commit that makes everything true at once.

Open it after worker processes that are forked without exec: they would inherit the lock and the connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from typing_extensions import override

from pdp.core.approvals.turned_down import TurnedDown
from pdp.core.errors import Unavailable
from pdp.core.stored import (
    Artefact,
    CallKeys,
    CallRow,
    RecordRef,
    ReplyRow,
    SessionRow,
    StoredCall,
    StoredRecord,
    ValueRow,
)
from pdp.ports import Entropy
from pdp.store.alchemy import on, plain_faults, said
from pdp.store.approvals.answers import ReaderAnswers
from pdp.store.approvals.erasing import erase
from pdp.store.database import LogWentBack
from pdp.store.ledger import Head, Ledger
from pdp.store.lock import DirectoryLock
from pdp.store.log import LogStore
from pdp.store.options import StoreOptions
from pdp.store.rows import SqliteRows
from pdp.store.schema import FILE, OpenedFile, connect
from pdp.store.shared import is_there, last_record
from pdp.store.transactions import SqliteTransactions
from pdp.store.writer import Writer, pace

T = TypeVar("T")

_RECORD = "SELECT idx, id, tenant, leaf, bytes FROM records WHERE "
_VALUE = """SELECT id, v.tenant, subject, path, salt, data FROM records JOIN "values" AS v
ON seq BETWEEN idx * 16 AND idx * 16 + 15 WHERE id = ? AND path = ?"""
_CALL = "SELECT idx, tenant, subject, salt, digest, created_ns FROM calls WHERE idx = ?"
_REPLY = """SELECT key, content, kind, effect, reply, epochs, valid_until_ns, created_ns FROM replies
WHERE key = ?"""

_SESSION = "SELECT idx, owner, until_ns FROM sessions WHERE idx = ?"
# a repeated call, with tables that are mostly empty: unknown outcomes, requests, verdicts
_CALL_AGAIN = """SELECT idx, tenant, subject, salt, digest, created_ns,
  (SELECT count(*) FROM outcomes WHERE call_digest = digest AND outcome = 'unknown'),
  EXISTS (SELECT 1 FROM approvals WHERE approvals.tenant = calls.tenant AND call_digest = digest),
  EXISTS (SELECT 1 FROM evidence WHERE evidence.tenant = calls.tenant AND call_digest = digest)
FROM calls WHERE idx = ?"""
_REFUSED = """SELECT count(*) FROM evidence
WHERE tenant = ? AND asker = ? AND created_ns >= ? AND refused = 1"""
_TURNED_DOWN = """SELECT count(*) - coalesce(sum(resolution = 'approval.cancelled'), 0),
  coalesce(sum(resolution = 'approval.cancelled'), 0), coalesce(max(resolved_ns), 0)
FROM approvals WHERE tenant = ? AND call_subject_id = ? AND call_agent = ? AND call_server = ? AND call_tool = ?
AND resolved_ns >= ? AND state IN ('cancelled', 'denied', 'revoked') AND call_subject_issuer = ? AND canary = 0
AND resolution IN ('approval.denied', 'approval.revoked', 'approval.cancelled')"""


class SqliteStore(LogStore):
    """Implements `ports.Store`. Reads of the log and of one call share one connection; they see every commit that
    was answered."""

    def __init__(self, opened: OpenedFile, lock: DirectoryLock, options: StoreOptions, boot: str) -> None:
        self._opened = opened
        self._reader = opened.reader
        self._reader_lock = Lock()
        self._asked: tuple[str, tuple[str | int, ...]] = "", ()  # the reader, last
        self._lock = lock
        self._path = options.path
        self._database = SqliteTransactions(opened.writer, options.path / FILE)
        ledger = Ledger(SqliteRows(opened), Head(opened.size), options)
        writer = Writer(self._database, pace(options), ledger)
        super().__init__(opened.reads, writer, ledger, origin=opened.origin, boot=boot, clean=opened.clean)
        self._in_reader = ReaderAnswers(on(opened.reader).engine, self._failed, self._ask)
        self._watch.start()

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

    @override
    def _erase(self, tenant: str, subject: str) -> int:
        with plain_faults():
            return erase(self._opened.people, tenant, subject)

    @override
    def _erased(self) -> None:
        self._database.empty_log()

    @override
    def size_bytes(self) -> int:
        try:
            return sum(file.stat().st_size for file in self._path.glob(f"{FILE}*"))
        except OSError:
            return 0

    @override
    def record(self, record_id: str) -> StoredRecord | None:
        return self._stored(_RECORD + "id = ?", record_id)

    @override
    def record_at(self, index: int) -> StoredRecord | None:
        return self._stored(_RECORD + "idx = ?", index)

    @override
    def value(self, record_id: str, path: str) -> ValueRow | None:
        row = self._row(_VALUE, record_id, path)
        return None if row is None else ValueRow(*row)

    @override
    def call(self, index: str) -> CallRow | None:
        row = self._row(_CALL, index)
        return None if row is None else CallRow(*row)

    @override
    def reply(self, key: str) -> ReplyRow | None:
        row = self._row(_REPLY, key)
        return None if row is None else ReplyRow(*row)

    @override
    def session(self, index: str) -> SessionRow | None:
        return self._lasting(self._row(_SESSION, index))

    @override
    async def for_call(self, keys: CallKeys) -> StoredCall:
        """In one read transaction, by statements of our own where every decision needs them."""
        with self._reader_lock:
            self._check_readable()
            try:
                self._reader.execute("BEGIN")
                return self._about(keys)
            except sqlite3.Error as e:
                self._failed(partial(self._again, *self._asked))
                raise Unavailable("store.unreadable", "the store cannot be read; try again", detail=said(e)) from None
            finally:
                with contextlib.suppress(sqlite3.Error):
                    self._reader.rollback()

    @override
    async def read(self, reads: Callable[[], T]) -> T:
        """In place: the file is local."""
        return reads()

    def _about(self, keys: CallKeys) -> StoredCall:
        """In the reader's transaction."""
        one = self._one
        reply = one(_REPLY, keys.reply) if keys.reply else None
        session = one(_SESSION, keys.session) if keys.session else None
        stored = StoredCall(ReplyRow(*reply) if reply else None, session=self._lasting(session))
        call = keys.call
        if call is None:
            return stored
        row = one(_CALL_AGAIN, keys.index)
        redeemed = one(_REPLY, keys.redeemed) if keys.redeemed and row else None
        like = (keys.tenant, call.subject.id, call.agent, call.server, call.tool, keys.since_ns, call.subject.issuer)
        stored = replace(
            stored,
            redeemed=ReplyRow(*redeemed) if redeemed else None,
            row=CallRow(*row[:6]) if row else None,
            unknown_outcomes=row[6] if row else 0,
            turned_down=TurnedDown(*one(_TURNED_DOWN, *like)),
            judge_refusals=one(_REFUSED, keys.tenant, keys.asker, keys.since_ns)[0] if keys.asker else 0,
        )
        if row is None or not (row[7] or row[8]):
            return stored
        return self._in_reader.answered(keys, row[4], stored)

    @override
    def artefact(self, digest: str) -> Artefact | None:
        row = self._row("SELECT digest, kind, data FROM artefacts WHERE digest = ?", digest)
        return None if row is None else Artefact(*row)

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._watch.stop)
        await asyncio.to_thread(self._writer.stop)
        self._end_reads()
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
        """The one row, or None."""
        self._check_readable()
        try:
            with self._reader_lock:
                return self._one(statement, *keys)
        except sqlite3.Error as e:
            self._failed(partial(self._again, statement, keys))
            raise Unavailable("store.unreadable", "the store cannot be read; try again", detail=said(e)) from None

    def _one(self, statement: str, *keys: str | int) -> Any:
        """All rows are fetched, so no statement holds on to an old snapshot."""
        self._asked = statement, keys
        rows = self._reader.execute(statement, keys).fetchall()
        return rows[0] if rows else None

    def _again(self, statement: str, keys: tuple[str | int, ...]) -> None:
        """The same read on another thread's connection."""
        with self._engine.connect() as db:
            db.exec_driver_sql(statement, keys).fetchall()

    @override
    def _look(self) -> None:
        """The file is where it was, and in it what was written last."""
        self._database.check_place()
        with self._engine.connect() as db:
            known = self._ledger.last
            if known is None:
                last_record(db)
            elif not is_there(db, known):
                raise LogWentBack("the log is not the one that was written; restore the newest copy of the file")
