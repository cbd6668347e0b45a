"""Between port values and PostgreSQL's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from sqlalchemy import Connection, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from pdp.core.digest import leaf_hash
from pdp.core.stored import CallRow, Commit, RecordRef, RefusalCount, ReplyRow, SwitchRow
from pdp.store import tables as t
from pdp.store.approvals.forgetting import forget
from pdp.store.approvals.steps import carry_out
from pdp.store.entries import VALUES_PER_RECORD, places, reused, salt_taken, settable
from pdp.store.ledger import Ages, Head, Marks
from pdp.store.marks import SWITCH_EPOCH
from pdp.store.postgres.opening import others
from pdp.store.postgres.plain import is_plain, statement_arguments
from pdp.store.postgres.tables import head, runs
from pdp.store.postgres.transactions import PostgresTransactions, Written, lock
from pdp.store.shared import Last, in_force

T = TypeVar("T")


class PostgresRows:
    """Implements `ledger.Rows`."""

    def __init__(self, database: PostgresTransactions, origin: str, boot: str) -> None:
        self._database = database
        self._origin = origin
        self._boot = boot
        self._names: dict[int, str] = {}  # ids by index, of this transaction; a later entry may have taken the index

    def lock(self, _known: Head, last: Last | None) -> Head:
        """Wait for the lock of the head row. Raises LogWentBack."""
        found = lock(self._database.db, last)
        self._names.clear()
        return found

    def advance(self, found: Head) -> None:
        """As the protocol says."""
        name = self._names.get(found.size - 1)
        self._database.last = None if name is None else Written(found.size - 1, name)
        self._database.db.execute(update(head).values(size=found.size, changes=found.changes))

    def write(self, entry: Commit, index: int) -> RecordRef:
        """As the protocol says; DBAPIError for a duplicate id."""
        db = self._database.db
        for name, value in entry.high_water:
            _raise_mark(db, settable(name), value)
        if entry.steps:
            carry_out(db, entry.steps)
        leaf = leaf_hash(entry.record)
        row = (index, entry.record_id, entry.kind, entry.tenant, entry.at_ns, leaf, entry.record)
        db.execute(insert(t.records).values(row))
        values = [(seq, v.path, v.tenant, v.subject, v.salt, v.data) for seq, v in places(entry, index)]
        if values:
            db.execute(insert(t.values).values(values))
        if entry.call is not None:
            _write_call(db, entry.call)
        if entry.reply is not None:
            _write_reply(db, entry.reply)
        for a in entry.artefacts:
            db.execute(insert(t.artefacts).values(asdict(a)).on_conflict_do_nothing())
        if entry.switch is not None:
            _write_switch(db, entry.switch)
        self._names[index] = entry.record_id
        return RecordRef(self._origin, index, leaf)

    def marks(self) -> Marks:
        """As of the transaction."""
        return marks(self._database.db)

    def plain(self, entry: Commit) -> bool:
        """As the protocol says."""
        return is_plain(entry)

    def commit_plain(
        self, entries: Sequence[Commit], head: Head, last: Last | None, ages: Ages
    ) -> tuple[RecordRef, ...] | None:
        """As the protocol says."""
        leaves = [leaf_hash(entry.record) for entry in entries]
        arguments = statement_arguments(entries, leaves, head, last, ages)
        index = self._database.commit_plain(arguments, entries[-1].record_id) if arguments is not None else None
        if index is None:
            return None
        first = index - len(entries) + 1
        return tuple(RecordRef(self._origin, first + n, leaf) for n, leaf in enumerate(leaves))

    def on(self, work: Callable[[Connection], T]) -> T:
        """As the protocol says."""
        return work(self._database.db)

    def alone(self) -> bool:
        """As the protocol says."""
        return others(self._database.db, self._boot) == set()

    def prune(self, limit: int, ages: Ages) -> None:
        """As the protocol says."""
        for table, before in ((t.replies, ages.replies_ns), (t.calls, ages.calls_ns)):
            oldest = select(table.c.seq).order_by(table.c.seq).limit(limit)
            self._database.db.execute(delete(table).where(table.c.seq.in_(oldest), table.c.created_ns < before))
        if ages.values_ns is not None:
            c = t.values.c
            oldest = select(c.seq).order_by(c.seq).limit(2 * limit)  # a record has two
            made = select(t.records.c.time_ns).where(t.records.c.idx == c.seq // VALUES_PER_RECORD)
            gone = delete(t.values).where(c.seq.in_(oldest), made.scalar_subquery() < ages.values_ns)
            self._database.db.execute(gone)

    def forget(self, limit: int, ages: Ages) -> None:
        """As the protocol says."""
        forget(self._database.db, limit, ages)

    def sweep(self, at_ns: int) -> None:
        """As the protocol says."""
        self._database.db.execute(delete(t.switches).where(t.switches.c.until_ns.between(1, at_ns)))

    def saved_refusals(self) -> dict[tuple[str, str, str], int]:
        """None: each process writes its own down every second, and a crash loses what came after."""
        return {}

    def save_refusals(self, counts: Sequence[RefusalCount]) -> None:
        """As `saved_refusals` says."""

    def end_run(self) -> None:
        """The next run finds that this one ended well."""
        with self._database.db.begin():
            self._database.db.execute(delete(runs).where(runs.c.boot == self._boot))


def marks(db: Connection) -> Marks:
    """Engaged switches, high-water marks and what is in force, as one statement each sees them."""
    c = t.switches.c
    engaged = select(t.switches).where(c.engaged == 1)
    rows = db.execute(engaged.order_by(c.at_ns, c.tenant, c.scope, c.server, c.value)).mappings().all()
    waters = db.execute(select(t.high_water.c.name, t.high_water.c.value)).all()
    switches = tuple(SwitchRow(**_fields(row)) for row in rows)
    return Marks(switches, {row.name: row.value for row in waters}, in_force(db))


def _fields(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _write_call(db: Connection, call: CallRow) -> None:
    row = {"idx": call.index, **{k: v for k, v in asdict(call).items() if k != "index"}}
    new = insert(t.calls).values(row)
    renewed = {
        "seq": text("DEFAULT"),
        "created_ns": new.excluded.created_ns,
    }  # one that is asked about again is young
    same = t.calls.c.salt == new.excluded.salt
    if db.execute(new.on_conflict_do_update(index_elements=["idx"], set_=renewed, where=same)).rowcount != 1:
        raise salt_taken()


def _write_reply(db: Connection, reply: ReplyRow) -> None:
    new = insert(t.replies).values(asdict(reply))
    renewed: dict[str, Any] = {"seq": text("DEFAULT")}  # a newer answer moves to the end
    renewed |= {name: new.excluded[name] for name in asdict(reply) if name not in {"key", "content"}}
    same = t.replies.c.content == new.excluded.content
    if db.execute(new.on_conflict_do_update(index_elements=["key"], set_=renewed, where=same)).rowcount != 1:
        raise reused()


def _write_switch(db: Connection, switch: SwitchRow) -> None:
    new = insert(t.switches).values(asdict(switch))
    place = [column.name for column in t.switches.primary_key]
    told = {name: new.excluded[name] for name in asdict(switch) if name not in place}
    db.execute(new.on_conflict_do_update(index_elements=place, set_=told))
    epoch = insert(t.high_water).values(name=SWITCH_EPOCH, value=1)
    db.execute(epoch.on_conflict_do_update(index_elements=["name"], set_={"value": t.high_water.c.value + 1}))


def _raise_mark(db: Connection, name: str, value: int) -> None:
    new = insert(t.high_water).values(name=name, value=value)
    higher = func.greatest(t.high_water.c.value, new.excluded.value)
    db.execute(new.on_conflict_do_update(index_elements=["name"], set_={"value": higher}))
