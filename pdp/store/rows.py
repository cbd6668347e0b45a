"""Between port values and SQLite's rows: what one commit writes, and the rows that are kept in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from pdp.core.digest import leaf_hash
from pdp.core.stored import CallRow, Commit, RecordRef, RefusalCount, ReplyRow, SwitchRow
from pdp.store.alchemy import plain_faults
from pdp.store.approvals.forgetting import forget
from pdp.store.approvals.steps import carry_out
from pdp.store.database import LogWentBack
from pdp.store.entries import places, reused, salt_taken, settable
from pdp.store.ledger import Ages, Head, Marks
from pdp.store.schema import OpenedFile, set_meta
from pdp.store.shared import Last, in_force

_ENGAGED = "SELECT * FROM switches WHERE engaged = 1 ORDER BY at_ns, tenant, scope, server, value"

_RECORD = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_LEAF = "SELECT leaf FROM records WHERE idx = ?"
_VALUE = 'INSERT INTO "values" VALUES (?, ?, ?, ?, ?, ?)'
_CALL = """INSERT INTO calls VALUES (NULL, ?, ?, ?, ?, ?, ?)
ON CONFLICT (idx) DO UPDATE SET seq = (SELECT max(seq) + 1 FROM calls), created_ns = excluded.created_ns
WHERE salt = excluded.salt"""
_REPLY = """INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET seq = (SELECT max(seq) + 1 FROM replies),
  kind = excluded.kind, effect = excluded.effect, reply = excluded.reply,
  epochs = excluded.epochs, valid_until_ns = excluded.valid_until_ns, created_ns = excluded.created_ns
WHERE content = excluded.content"""
_ARTEFACT = "INSERT INTO artefacts VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
_SWITCH = "INSERT OR REPLACE INTO switches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EPOCH = """INSERT INTO high_water VALUES ('switch_epoch', 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1"""
# The oldest rows come first by `seq`, so a young one among the first few ends the work: no index by age.
_PRUNE_REPLIES = "DELETE FROM replies WHERE seq IN (SELECT seq FROM replies ORDER BY seq LIMIT ?) AND created_ns < ?"
_PRUNE_CALLS = "DELETE FROM calls WHERE seq IN (SELECT seq FROM calls ORDER BY seq LIMIT ?) AND created_ns < ?"
_PRUNE_VALUES = """DELETE FROM "values" WHERE seq IN (SELECT seq FROM "values" ORDER BY seq LIMIT ?)
AND (SELECT time_ns FROM records WHERE idx = seq / 16) < ?"""
# these have released themselves, so no epoch counts them
_SWEEP = "DELETE FROM switches WHERE until_ns BETWEEN 1 AND ?"
_COUNT = "INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?)"
_HIGH_WATER = """INSERT INTO high_water VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""


T = TypeVar("T")


class SqliteRows:
    """Implements `ledger.Rows` by hand-written statements: a decision's time is theirs. SQLAlchemy, on the same
    connection, runs only for steps."""

    def __init__(self, opened: OpenedFile) -> None:
        self._db = opened.writer
        self._people = opened.people
        self._origin = opened.origin

    def lock(self, known: Head, last: Last | None) -> Head:
        """The file belongs to this process. Raises LogWentBack when its content was replaced."""
        if last is not None:
            found = self._db.execute(_LEAF, (last.index,)).fetchall()
            if found != [(last.leaf,)]:
                raise LogWentBack("the log is not the one that was written; restore the newest copy of the file")
        return known

    def advance(self, head: Head) -> None:
        """The records say it."""

    def write(self, entry: Commit, index: int) -> RecordRef:
        """As the protocol says; sqlite3.IntegrityError for a duplicate id."""
        db = self._db
        for name, value in entry.high_water:
            db.execute(_HIGH_WATER, (settable(name), value))
        if entry.steps:
            with plain_faults():
                carry_out(self._people, entry.steps)
        leaf = leaf_hash(entry.record)
        row = (index, entry.record_id, entry.kind, entry.tenant, entry.at_ns, leaf, entry.record)
        db.execute(_RECORD, row)
        _write_values(db, entry, index)
        if entry.call is not None:
            _write_call(db, entry.call)
        if entry.reply is not None:
            _write_reply(db, entry.reply)
        for a in entry.artefacts:
            db.execute(_ARTEFACT, (a.digest, a.kind, a.data))
        if entry.switch is not None:
            _write_switch(db, entry.switch)
        return RecordRef(self._origin, index, leaf)

    def marks(self) -> Marks:
        """As of the transaction."""
        found = self._db.execute(_ENGAGED).fetchall()
        switches = tuple(
            SwitchRow(tenant, scope, server, value, bool(engaged), reason, by, at_ns, until_ns)
            for tenant, scope, server, value, engaged, reason, by, at_ns, until_ns in found
        )
        high_water = dict(self._db.execute("SELECT name, value FROM high_water").fetchall())
        with plain_faults():
            return Marks(switches, high_water, in_force(self._people))

    def plain(self, _entry: Commit) -> bool:
        """A file has no round trips to save."""
        return False

    def commit_plain(self, *_: object) -> None:
        """As `plain` says."""

    def on(self, work: Callable[[Connection], T]) -> T:
        """As the protocol says."""
        with plain_faults():
            return work(self._people)

    def alone(self) -> bool:
        """The file is this process's alone."""
        return True

    def prune(self, limit: int, ages: Ages) -> None:
        """As the protocol says."""
        self._db.execute(_PRUNE_REPLIES, (limit, ages.replies_ns))
        self._db.execute(_PRUNE_CALLS, (limit, ages.calls_ns))
        if ages.values_ns is not None:
            self._db.execute(_PRUNE_VALUES, (2 * limit, ages.values_ns))  # a record has two

    def forget(self, limit: int, ages: Ages) -> None:
        """As the protocol says."""
        with plain_faults():
            forget(self._people, limit, ages)

    def sweep(self, at_ns: int) -> None:
        """As the protocol says."""
        self._db.execute(_SWEEP, (at_ns,))

    def saved_refusals(self) -> dict[tuple[str, str, str], int]:
        """As the protocol says."""
        rows = self._db.execute("SELECT tenant, caller, code, count FROM refusals").fetchall()
        return {(tenant, caller, code): count for tenant, caller, code, count in rows}

    def save_refusals(self, counts: Sequence[RefusalCount]) -> None:
        """As the protocol says."""
        self._db.executemany(_COUNT, counts)
        self._db.execute("DELETE FROM refusals WHERE count <= 0")

    def end_run(self) -> None:
        """The next run finds that this one ended well."""
        set_meta(self._db, "clean", "1")


def _write_values(db: sqlite3.Connection, entry: Commit, index: int) -> None:
    for seq, v in places(entry, index):
        db.execute(_VALUE, (seq, v.path, v.tenant, v.subject, v.salt, v.data))


def _write_switch(db: sqlite3.Connection, s: SwitchRow) -> None:
    row = (s.tenant, s.scope, s.server, s.value, int(s.engaged), s.reason, s.by, s.at_ns, s.until_ns)
    db.execute(_SWITCH, row)
    db.execute(_EPOCH)


def _write_call(db: sqlite3.Connection, call: CallRow) -> None:
    row = (call.index, call.tenant, call.subject, call.salt, call.digest, call.created_ns)
    if db.execute(_CALL, row).rowcount != 1:
        raise salt_taken()


def _write_reply(db: sqlite3.Connection, r: ReplyRow) -> None:
    row = (r.key, r.content, r.kind, r.effect, r.reply, r.epochs, r.valid_until_ns, r.created_ns)
    if db.execute(_REPLY, row).rowcount != 1:
        raise reused()
