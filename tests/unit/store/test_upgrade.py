"""A store made by an older release is brought up to date where it lies."""

import sqlite3
from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import Connection
from support.stored import AT, Entropy, a_reply, a_switch, an_approval, an_id, entry, shown_of

from pdp.core.approvals.steps import Open
from pdp.core.bytes.digest import leaf_hash
from pdp.core.errors import ConfigurationFault
from pdp.core.record.artefact import Artefact
from pdp.core.record.stored import CallRow, ValueRow
from pdp.store.migrations import VERSION, upgrade
from pdp.store.options import StoreOptions
from pdp.store.sqlite.opening import APPLICATION, FILE
from pdp.store.sqlite.store import SqliteStore

# The tables of version 1, as its release made them.
FIRST = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE records (
  idx INTEGER PRIMARY KEY CHECK (idx >= 0),
  id TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,
  tenant TEXT NOT NULL,
  time_ns INTEGER NOT NULL,
  leaf BLOB NOT NULL CHECK (length(leaf) = 32),
  bytes BLOB NOT NULL CHECK (length(bytes) <= 60000)
) STRICT;
CREATE TRIGGER records_stay_as_written BEFORE UPDATE ON records
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER records_stay BEFORE DELETE ON records
  BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TABLE "values" (
  seq INTEGER PRIMARY KEY, -- 16 * the record's index, plus its place among the record's values
  path TEXT NOT NULL,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt BLOB NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE INDEX values_by_subject ON "values" (subject) WHERE subject <> '';
CREATE TABLE calls (
  seq INTEGER PRIMARY KEY, -- in order of age
  idx TEXT NOT NULL UNIQUE,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL,
  salt BLOB NOT NULL,
  digest TEXT NOT NULL,
  created_ns INTEGER NOT NULL
) STRICT;
CREATE INDEX calls_by_subject ON calls (subject) WHERE subject <> '';
CREATE TABLE replies (
  seq INTEGER PRIMARY KEY, -- in order of age: a newer answer moves to the end
  key TEXT NOT NULL UNIQUE,
  content TEXT NOT NULL,
  kind TEXT NOT NULL,
  effect TEXT NOT NULL,
  reply BLOB NOT NULL,
  epochs TEXT NOT NULL,
  valid_until_ns INTEGER NOT NULL,
  created_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE artefacts (digest TEXT PRIMARY KEY, kind TEXT NOT NULL, data BLOB NOT NULL) STRICT;
CREATE TABLE switches (
  tenant TEXT NOT NULL,
  scope TEXT NOT NULL CHECK (scope IN ('everything', 'tenant', 'server', 'tool', 'agent', 'subject')),
  server TEXT NOT NULL,
  value TEXT NOT NULL,
  engaged INTEGER NOT NULL CHECK (engaged IN (0, 1)),
  reason TEXT NOT NULL,
  by TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  until_ns INTEGER NOT NULL,
  PRIMARY KEY (tenant, scope, server, value)
) STRICT;
CREATE TABLE high_water (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE refusals (
  tenant TEXT NOT NULL,
  caller TEXT NOT NULL,
  code TEXT NOT NULL,
  count INTEGER NOT NULL,
  PRIMARY KEY (tenant, caller, code)
) STRICT, WITHOUT ROWID;
"""
RECORDS = 200


def made_by_the_first_release(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with closing(sqlite3.connect(folder / FILE, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(FIRST)
        db.execute("INSERT INTO meta VALUES ('origin', ?), ('clean', ?)", (b"example.org/log", b"1"))
        for n in range(RECORDS):
            record = b'{"n":%d}' % n
            row = (n, an_id(n), "decision", "acme", AT + n, leaf_hash(record), record)
            db.execute("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", row)
            db.execute(
                'INSERT INTO "values" VALUES (?, ?, ?, ?, ?, ?)', (16 * n, "input", "acme", "alice", b"s", b"{}")
            )
        db.execute("INSERT INTO calls VALUES (NULL, 'c', 'acme', 'alice', x'00', 'd', ?)", (AT,))
        reply = tuple(asdict(a_reply()).values())
        db.execute("INSERT INTO replies VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", reply)
        db.execute("INSERT INTO artefacts VALUES ('d', 'bundle', x'01')")
        db.execute("INSERT INTO switches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", tuple(asdict(a_switch()).values()))
        db.execute("INSERT INTO high_water VALUES ('switch_epoch', 3), ('clock', ?)", (AT,))
        db.execute("INSERT INTO refusals VALUES ('acme', 'gateway', 'caller.role', 7)")
        db.execute(f"PRAGMA application_id={APPLICATION}")
        db.execute("PRAGMA user_version=1")


def version_of(folder: Path) -> int:
    with closing(sqlite3.connect(folder / FILE)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def opened(folder: Path) -> SqliteStore:
    return SqliteStore.open(StoreOptions(path=folder), entropy=Entropy())


async def test_a_store_of_the_first_release_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    made_by_the_first_release(folder)
    store = opened(folder)
    assert (store.origin, store.size(), store.clean) == ("example.org/log", RECORDS, True)
    for n in range(RECORDS):
        found = store.record_at(n)
        assert found is not None
        assert (found.record_id, found.record) == (an_id(n), b'{"n":%d}' % n)
        assert store.value(an_id(n), "input") == ValueRow(an_id(n), "acme", "alice", "input", b"s", b"{}")
    assert store.call("c") == CallRow("c", "acme", "alice", b"\0", "d", AT)
    assert (store.reply("k"), store.artefact("d")) == (a_reply(), Artefact("d", "bundle", b"\1"))
    assert (store.switches(), store.switch_epoch(), store.high_water("clock")) == ((a_switch(),), 3, AT)
    assert store.aggregated_refusals() == (("acme", "gateway", "caller.role", 7),)
    approval = an_approval(1)
    ref = await store.commit(entry(RECORDS, steps=(Open(approval, shown_of(approval)),)))
    assert ref.index == RECORDS
    await store.close()
    again = opened(folder)
    assert again.approval("acme", approval.id) == approval
    assert again.size() == RECORDS + 1
    await again.close()


async def test_the_version_is_one_that_the_first_release_refuses(tmp_path: Path) -> None:
    """It knows `user_version` alone, and refuses what is above 1."""
    folder = tmp_path / "store"
    made_by_the_first_release(folder)
    await opened(folder).close()
    assert version_of(folder) == VERSION > 1


async def test_an_upgrade_that_was_cut_short_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    made_by_the_first_release(folder)

    def cut_short(db: Connection, version: int) -> None:
        upgrade(db, version)
        raise sqlite3.OperationalError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("pdp.store.sqlite.opening.upgrade", cut_short)
        with pytest.raises(Exception, match="store cannot be opened: OperationalError"):
            opened(folder)
    assert version_of(folder) == 1
    with closing(sqlite3.connect(folder / FILE)) as db:
        assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'approvals'").fetchone() == (0,)
    store = opened(folder)
    assert store.size() == RECORDS
    await store.close()


async def test_a_store_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    await opened(folder).close()
    with closing(sqlite3.connect(folder / FILE)) as db:
        db.execute(f"PRAGMA user_version={VERSION + 1}")
    with pytest.raises(ConfigurationFault) as e:
        opened(folder)
    assert e.value.code == "store.schema"
