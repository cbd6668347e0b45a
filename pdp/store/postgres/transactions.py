"""PostgreSQL's transactions for the writer.

A commit whose answer was lost is looked for: whoever wrote held the head row, so once we hold it the old transaction
is over, and its last record is there or not. Where that cannot be found out soon, the batch is refused, like one
whose sync failed on SQLite.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, NestedTransaction, RootTransaction, select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pdp.store.database import LogWentBack
from pdp.store.ledger import Head
from pdp.store.postgres import connection as server
from pdp.store.postgres.tables import head
from pdp.store.shared import Last
from pdp.store.tables import records

FIND_OUT_SECONDS = 5.0  # how long the fate of a commit is asked after
_PAUSE = 0.2


@dataclass(frozen=True, slots=True)
class Written:
    """The last record of a transaction, or of this process."""

    index: int
    record_id: str


class PostgresTransactions:
    """Implements `writer.Database`; owns the writing connection, which `db` gives to the statements."""

    def __init__(self, engine: Engine) -> None:
        self.db = engine.connect()
        self.last: Written | None = None  # what the transaction under way wrote last
        self._engine = engine
        self._durable: Written | None = None
        self._under_way: RootTransaction | None = None
        self._savepoint: NestedTransaction | None = None

    def begin(self) -> None:
        self.last = None
        self._under_way = self.db.begin()

    def commit(self) -> None:
        """Durable when it returns (`synchronous_commit`)."""
        try:
            self._transaction.commit()
        except DBAPIError as e:
            if not server.lost(e) or not self._found_after_all():
                raise
        self._durable = self.last or self._durable

    def rollback(self) -> None:
        self._transaction.rollback()

    def savepoint(self) -> None:
        self._savepoint = self.db.begin_nested()

    def release(self, *, undo: bool) -> None:
        if self._savepoint is None:
            raise RuntimeError("no savepoint")
        if undo:
            self._savepoint.rollback()
        else:
            self._savepoint.commit()

    def at_fault(self, error: Exception) -> bool:
        return isinstance(error, LogWentBack) or (isinstance(error, DBAPIError) and not server.entrys(error))

    def heals(self, error: Exception) -> bool:
        """A lost server, a lock that nobody gives, a full disk there: a new connection may do. In any case the head
        is let go, so that others go on."""
        self.close()
        return isinstance(error, DBAPIError) and server.passing(error)

    def probe(self) -> None:
        """On a new connection; what this process wrote must still be there. Raises LogWentBack."""
        self._connect()
        self.begin()
        known = self._durable
        lock(self.db)
        if known is not None and not self._has(known):
            raise LogWentBack("a durable record is gone; restore the newest copy of the database")
        self.db.execute(head.update().values(size=head.c.size))
        self._transaction.commit()

    def tidy(self) -> None:
        """The server does that."""

    def close(self) -> None:
        """Let go of the connection; a transaction that is under way is rolled back by the server."""
        try:
            self.db.close()
        except SQLAlchemyError:
            self.db.invalidate()

    @property
    def _transaction(self) -> RootTransaction:
        if self._under_way is None:
            raise RuntimeError("no transaction")
        return self._under_way

    def _connect(self) -> None:
        self.close()
        self.db = self._engine.connect()

    def _found_after_all(self) -> bool:
        """Whether the transaction whose commit was not answered is durable; False too when that stays unknown."""
        written, until = self.last, time.monotonic() + FIND_OUT_SECONDS
        while written is not None and time.monotonic() < until:
            try:
                self._connect()
                with self.db.begin():
                    lock(self.db)
                    return self._has(written)
            except SQLAlchemyError:
                time.sleep(_PAUSE)
        return False

    def _has(self, written: Written) -> bool:
        found = self.db.execute(select(records.c.id).where(records.c.idx == written.index)).scalar_one_or_none()
        return found == written.record_id


def lock(db: Connection, known: Last | None = None) -> Head:
    """Take the head row, and with it the right to write; others wait until the transaction ends. Raises LogWentBack
    where the record that is `known` is not there."""
    found, _ = look(db, known, locked=True)
    return found


def look(db: Connection, known: Last | None, *, locked: bool = False) -> tuple[Head, Last | None]:
    """Where the log ends, and its last record, which a transaction that had to wait for the lock may not see. One
    statement. Raises LogWentBack as `lock`."""
    c = records.c
    last = select(c.leaf).where(c.idx == head.c.size - 1).scalar_subquery()
    ours = select(c.leaf).where(c.idx == (-1 if known is None else known.index)).scalar_subquery()
    asked = select(head.c.size, head.c.changes, last.label("last"), ours.label("ours"))
    row = db.execute(asked.with_for_update(of=head) if locked else asked).one()
    if known is not None and (row.size <= known.index or row.ours != known.leaf):
        raise LogWentBack("the log is not the one that was written; restore the newest copy of the database")
    return Head(row.size, row.changes), None if row.last is None else Last(row.size - 1, row.last)
