"""Between port values and rows: what one commit writes, and the rows that are kept in memory."""

from __future__ import annotations

import sqlite3

from pdp.core.digest import leaf_hash
from pdp.core.errors import Fault, InvalidRequest, Unavailable
from pdp.core.stored import CallRow, Commit, RecordRef, ReplyRow, SwitchRow
from pdp.store.marks import OWN

VALUES_PER_RECORD = 16

_RECORD = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)"
_VALUE = 'INSERT INTO "values" VALUES (?, ?, ?, ?, ?, ?)'
_CALL = "INSERT INTO calls VALUES (NULL, ?, ?, ?, ?, ?, ?) ON CONFLICT (idx) DO NOTHING"
_CALL_SALT = "SELECT salt FROM calls WHERE idx = ?"
_REPLY = """INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key) DO UPDATE SET seq = (SELECT max(seq) + 1 FROM replies),
  kind = excluded.kind, effect = excluded.effect, reply = excluded.reply,
  epochs = excluded.epochs, valid_until_ns = excluded.valid_until_ns, created_ns = excluded.created_ns
WHERE content = excluded.content"""
_ARTEFACT = "INSERT INTO artefacts VALUES (?, ?, ?) ON CONFLICT (digest) DO NOTHING"
_SWITCH = "INSERT OR REPLACE INTO switches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EPOCH = """INSERT INTO high_water VALUES ('switch_epoch', 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1"""
_HIGH_WATER = """INSERT INTO high_water VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"""


def write(db: sqlite3.Connection, entry: Commit, index: int, origin: str) -> RecordRef:
    """Write one entry inside the current transaction.

    Raises InvalidRequest `request.id_reused` (the reply's key is taken by other content), Unavailable
    `store.conflict` (another request drew a salt for the same call first: decide again), and what sqlite3
    raises (IntegrityError for a duplicate id).
    """
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
    for name, value in entry.high_water:
        if name in OWN:
            raise Fault("store.entry", f"high_water: {name} is the store's own; name another")
        db.execute(_HIGH_WATER, (name, value))
    return RecordRef(origin, index, leaf)


def _write_values(db: sqlite3.Connection, entry: Commit, index: int) -> None:
    if len(entry.values) > VALUES_PER_RECORD or any(v.record_id != entry.record_id for v in entry.values):
        raise Fault("store.entry", "values: at most 16, all of the record they are committed with")
    for seq, v in enumerate(entry.values, VALUES_PER_RECORD * index):
        db.execute(_VALUE, (seq, v.path, v.tenant, v.subject, v.salt, v.data))


def _write_switch(db: sqlite3.Connection, s: SwitchRow) -> None:
    row = (s.tenant, s.scope, s.server, s.value, int(s.engaged), s.reason, s.by, s.at_ns, s.until_ns)
    db.execute(_SWITCH, row)
    db.execute(_EPOCH)


def _write_call(db: sqlite3.Connection, call: CallRow) -> None:
    row = (call.index, call.tenant, call.subject, call.salt, call.digest, call.created_ns)
    if db.execute(_CALL, row).rowcount == 1:
        return
    if db.execute(_CALL_SALT, (call.index,)).fetchall() != [(call.salt,)]:
        raise Unavailable("store.conflict", "the same call was asked about at the same time; send it again")


def _write_reply(db: sqlite3.Connection, r: ReplyRow) -> None:
    row = (r.key, r.content, r.kind, r.effect, r.reply, r.epochs, r.valid_until_ns, r.created_ns)
    if db.execute(_REPLY, row).rowcount != 1:
        raise InvalidRequest("request_id", "was used for another request; use a new id", code="request.id_reused")


def engaged_switches(db: sqlite3.Connection) -> tuple[SwitchRow, ...]:
    """All engaged switches, oldest first."""
    rows = db.execute("SELECT * FROM switches WHERE engaged = 1 ORDER BY at_ns, tenant, scope, server, value")
    return tuple(
        SwitchRow(tenant, scope, server, value, bool(engaged), reason, by, at_ns, until_ns)
        for tenant, scope, server, value, engaged, reason, by, at_ns, until_ns in rows.fetchall()
    )


def high_waters(db: sqlite3.Connection) -> dict[str, int]:
    """All high-water marks by name."""
    return dict(db.execute("SELECT name, value FROM high_water").fetchall())
