"""The store on PostgreSQL: any number of processes, one log, one locked head row."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Engine, RowMapping, Select, func, select
from typing_extensions import override

from pdp.core.errors import Unavailable
from pdp.core.stored import Artefact, CallKeys, CallRow, RecordRef, ReplyRow, StoredCall, StoredRecord, ValueRow
from pdp.ports import Entropy
from pdp.store import tables as t
from pdp.store.alchemy import said
from pdp.store.approvals.erasing import erase
from pdp.store.entries import VALUES_PER_RECORD
from pdp.store.ledger import Ledger
from pdp.store.log import LogStore
from pdp.store.options import StoreOptions
from pdp.store.postgres import connection
from pdp.store.postgres.connection import Bridge
from pdp.store.postgres.opening import Opened, connect
from pdp.store.postgres.rows import PostgresRows, marks
from pdp.store.postgres.transactions import PostgresTransactions, look
from pdp.store.writer import Writer, pace

T = TypeVar("T")


class PostgresStore(LogStore):
    """Implements `ports.Store`. What other processes wrote is read from the database; their switches and marks are
    kept in memory too, as of the last commit of this process or the last look, whichever is later."""

    def __init__(
        self, opened: Opened, database: PostgresTransactions, ledger: Ledger, reading: Engine, options: StoreOptions
    ) -> None:
        self._database = database
        self._bridge = Bridge("pdp-store-reader")
        writer = Writer(database, pace(options), ledger)
        super().__init__(reading, writer, ledger, origin=opened.origin, boot=opened.boot, clean=opened.clean)
        self._watch.start()

    @classmethod
    def open(cls, options: StoreOptions, *, entropy: Entropy, password: bytes = b"") -> PostgresStore:
        """Open the store, making its tables where there are none. Blocks; meant for start-up.

        Raises ConfigurationFault (`store.schema`, `store.foreign`, `store.origin`, `store.durability`,
        `store.ca_file`) and Unavailable (`store.corrupt`, `store.unreadable`).
        """
        boot, fresh = entropy.bytes(16).hex(), f"pdp/{entropy.bytes(8).hex()}"
        engines = [each(options, password, boot) for each in (connection.opening, connection.writing)]
        reading = connection.reading(options, password, boot)
        bridge = Bridge("pdp-store-connection")

        def begin() -> tuple[Opened, PostgresTransactions, Ledger]:
            opened = connect(engines[0], options.origin, fresh, boot)
            database = PostgresTransactions(engines[1], bridge)
            with database.db.begin():
                return opened, database, Ledger(PostgresRows(database, opened.origin, boot), opened.head, options)

        try:
            return cls(*bridge.run(begin), reading, options)
        except connection.DatabaseErrors as e:
            bridge.close()
            raise Unavailable(
                "store.unreadable", f"store.url: the store cannot be opened: {connection.why(e)}", detail=said(e)
            ) from None
        except BaseException:
            bridge.close()
            raise

    @override
    def size_bytes(self) -> int:
        try:
            return int(self._one(select(func.pg_database_size(func.current_database()).label("n")))["n"])
        except Unavailable:
            return 0

    @override
    def record(self, record_id: str) -> StoredRecord | None:
        return self._stored(select(t.records).where(t.records.c.id == record_id))

    @override
    def record_at(self, index: int) -> StoredRecord | None:
        return self._stored(select(t.records).where(t.records.c.idx == index))

    @override
    def value(self, record_id: str, path: str) -> ValueRow | None:
        v, first = t.values.c, t.records.c.idx * VALUES_PER_RECORD
        found = select(t.values).join(t.records, v.seq.between(first, first + VALUES_PER_RECORD - 1))
        row = self._one(found.where(t.records.c.id == record_id, v.path == path))
        if row is None:
            return None
        return ValueRow(record_id, row["tenant"], row["subject"], row["path"], row["salt"], row["data"])

    @override
    def call(self, index: str) -> CallRow | None:
        c = t.calls.c
        row = self._one(
            select(c.idx.label("index"), c.tenant, c.subject, c.salt, c.digest, c.created_ns).where(c.idx == index)
        )
        return None if row is None else CallRow(**row)

    @override
    def reply(self, key: str) -> ReplyRow | None:
        named = [column for column in t.replies.c if column.name != "seq"]
        row = self._one(select(*named).where(t.replies.c.key == key))
        return None if row is None else ReplyRow(**row)

    @override
    async def for_call(self, keys: CallKeys) -> StoredCall:
        """Each part by a statement of its own, in a thread."""
        return await asyncio.to_thread(self._about, keys)

    @override
    async def read(self, reads: Callable[[], T]) -> T:
        """In a thread."""
        return await asyncio.to_thread(reads)

    def _about(self, keys: CallKeys) -> StoredCall:
        reply = self.reply(keys.reply) if keys.reply else None
        session = self.session(keys.session) if keys.session else None
        stored = StoredCall(reply, session=session)
        if keys.call is None:
            return stored
        row = self.call(keys.index)
        stored = replace(
            stored,
            redeemed=self.reply(keys.redeemed) if keys.redeemed and row is not None else None,
            row=row,
            unknown_outcomes=self.unknown_outcomes(row.digest) if row is not None else 0,
            turned_down=self.turned_down(keys.tenant, keys.call, keys.since_ns),
            judge_refusals=self.judge_refusals(keys.tenant, keys.asker, keys.since_ns) if keys.asker else 0,
        )
        return self.answered(keys, row.digest, stored) if row is not None else stored

    @override
    def artefact(self, digest: str) -> Artefact | None:
        row = self._one(select(t.artefacts).where(t.artefacts.c.digest == digest))
        return None if row is None else Artefact(**row)

    @override
    async def close(self) -> None:
        await asyncio.to_thread(self._watch.stop)
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._database.close)
        await asyncio.to_thread(self._end_reads)

    @override
    def _erase(self, tenant: str, subject: str) -> int:
        return erase(self._database.db, tenant, subject)

    def _stored(self, query: Select[Any]) -> StoredRecord | None:
        row = self._one(query)
        if row is None:
            return None
        return StoredRecord(RecordRef(self.origin, row["idx"], row["leaf"]), row["id"], row["tenant"], row["bytes"])

    def _one(self, query: Select[Any]) -> Any:
        rows = self._rows(query)
        return rows[0] if rows else None

    @override
    def _look(self) -> None:
        """What other processes changed."""
        self._bridge.run(self._take_over)

    def _take_over(self) -> None:
        with self._engine.connect() as db:
            now, last = look(db, self._ledger.last)
            changed = now.changes > self._ledger.head.changes
            self._ledger.publish(now, marks(db) if changed else None, last)

    @override
    def _ask(self, query: Select[Any]) -> Sequence[RowMapping]:
        self._check_readable()
        return self._bridge.run(lambda: super(PostgresStore, self)._ask(query))

    @override
    def _end_reads(self) -> None:
        if self._reading:
            self._reading = False
            self._bridge.run(self._engine.dispose)
            self._bridge.close()
