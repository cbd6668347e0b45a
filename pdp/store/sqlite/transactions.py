"""SQLite's transactions for the writer, and what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pdp.store.shared import FileReplaced

T = TypeVar("T")

PROBE_BYTES = 128 * 1024
_HEALING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# Errors of one entry, after which the transaction is whole and the others go on.
_ENTRY_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)


class SqliteTransactions:
    """Implements `writer.Database` on the writing connection."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self._file = self._place()  # which file lies there

    def _place(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()  # never opened besides SQLite: closing it again would drop SQLite's locks
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def check_place(self) -> None:
        """Raises FileReplaced while another file than ours, or none, lies where ours was."""
        if self._place() != self._file:
            raise FileReplaced("another file lies where the store's was; put it back, or restart on the other")

    def run(self, work: Callable[[], T]) -> T:
        """On the thread that asks."""
        return work()

    def begin(self) -> None:
        """Raises FileReplaced."""
        self.check_place()
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Durable when it returns: the WAL is synced (`schema.WRITER_PRAGMAS`)."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        self._db.execute("ROLLBACK")

    def savepoint(self) -> None:
        self._db.execute("SAVEPOINT entry")

    def release(self, *, undo: bool) -> None:
        if undo:
            self._db.execute("ROLLBACK TO entry")
        self._db.execute("RELEASE entry")

    def at_fault(self, error: Exception) -> bool:
        return isinstance(error, sqlite3.Error) and not isinstance(error, _ENTRY_ERRORS)

    def heals(self, error: Exception) -> bool:
        """A full disk, a foreign lock or a file that is put back, once the transaction could be taken back."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        passing = isinstance(error, FileReplaced) or (isinstance(error, sqlite3.Error) and code in _HEALING)
        return passing and self._rolled_back()

    def locked(self, _error: BaseException) -> bool:
        """A lock is one of the whole file."""
        return False

    def _rolled_back(self) -> bool:
        try:
            if self._db.in_transaction:
                self.rollback()
        except sqlite3.Error:
            return False
        return True

    def probe(self) -> None:
        """Of `PROBE_BYTES`: a disk that takes one more page is still full."""
        self.begin()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(?))", (PROBE_BYTES,))
        self.commit()
        self._db.execute("DELETE FROM meta WHERE name = 'probe'")

    def tidy(self) -> None:
        """Copy the WAL into the database. Done here, not by SQLite itself, because that hides its errors."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def empty_log(self) -> None:
        """As `tidy`, and leave nothing in the WAL."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
