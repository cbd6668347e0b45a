"""The tables, and opening the file: created, recognised, or refused."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from pdp.core.digest import leaf_hash
from pdp.core.errors import ConfigurationFault, Unavailable

FILE = "pdp.sqlite3"
APPLICATION = 0x70647031  # "pdp1", in the file's header
VERSION = 1
TAIL = 64  # records whose leaf hash is computed again at open

# Order of words: a commit is durable when COMMIT returns (WAL + FULL syncs the WAL on every commit). Checkpoints
# run only where their errors are seen (`writer`), hence no automatic ones. On macOS only a full sync is a sync.
WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=ON",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA secure_delete=ON",
    "PRAGMA busy_timeout=1000",
    "PRAGMA cache_size=-16384",
)
READER_PRAGMAS = ("PRAGMA query_only=ON", "PRAGMA busy_timeout=1000", "PRAGMA cache_size=-8192")

TABLES = """
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


@dataclass(frozen=True, slots=True)
class Opened:
    """The two connections and what the file says about itself. `clean`: the last run closed the store."""

    writer: sqlite3.Connection
    reader: sqlite3.Connection
    origin: str
    size: int
    clean: bool


def connect(directory: Path, origin: str | None, fresh: str, boot: str) -> Opened:
    """Open or create the file. `fresh` names a new log for which no `origin` is configured.

    Raises ConfigurationFault: `store.schema` (written by a newer release), `store.foreign` (not ours),
    `store.origin` (another log than configured), `store.durability` (the disk cannot do WAL); Unavailable
    `store.corrupt` (the log is damaged) or `store.unreadable`.
    """
    path = directory / FILE
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # WAL and SHM take its mode
        writer = _connection(path)
        new = _is_new(writer)
        for pragma in WRITER_PRAGMAS:
            writer.execute(pragma).fetchall()
        if writer.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            raise ConfigurationFault("store.durability", "store.path: this disk cannot do WAL; use a local disk")
        if new:
            _create(writer, origin or fresh)
        name = _meta(writer, "origin")
        if origin is not None and name != origin:
            raise ConfigurationFault(
                "store.origin", f"store.origin: this store's log is {name!r}; set that, or use another store.path"
            )
        clean = _meta(writer, "clean") == "1"
        size = _checked_size(writer)
        _begin_run(writer, boot)
        _sync_directory(directory)
        reader = _connection(path)
        for pragma in READER_PRAGMAS:
            reader.execute(pragma).fetchall()
    except (sqlite3.Error, OSError) as e:
        raise Unavailable(
            "store.unreadable", "store.path: the store cannot be opened; see the log", detail=str(e)
        ) from None
    return Opened(writer, reader, name, size, clean)


def _connection(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=64)


def _is_new(db: sqlite3.Connection) -> bool:
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if application == 0 and not db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall():
        return True  # just created, or a crash came before `_create` was committed
    if application != APPLICATION:
        raise ConfigurationFault(
            "store.foreign", f"store.path: {FILE} in it is not a store of this program; use an empty directory"
        )
    if version > VERSION:
        raise ConfigurationFault(
            "store.schema",
            f"store.path: written by a newer release (schema {version}, this one knows {VERSION}); upgrade",
        )
    return False


def _create(db: sqlite3.Connection, origin: str) -> None:
    db.executescript(f"BEGIN EXCLUSIVE; {TABLES}")
    set_meta(db, "origin", origin)
    set_meta(db, "clean", "1")
    db.execute(f"PRAGMA application_id={APPLICATION}")
    db.execute(f"PRAGMA user_version={VERSION}")
    db.execute("COMMIT")


def _begin_run(db: sqlite3.Connection, boot: str) -> None:
    db.execute("BEGIN IMMEDIATE")
    for name, value in (("clean", "0"), ("boot", boot)):
        set_meta(db, name, value)
    db.execute("COMMIT")


def set_meta(db: sqlite3.Connection, name: str, value: str) -> None:
    """Write one row of `meta` in the current transaction."""
    db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value.encode()))


def _meta(db: sqlite3.Connection, name: str) -> str:
    row = db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return bytes(row[0]).decode() if row else ""


def _checked_size(db: sqlite3.Connection) -> int:
    """The number of records; indexes are dense and the last leaves hash to what they say."""
    last, count = db.execute("SELECT max(idx), count(*) FROM records").fetchone()
    size = 0 if last is None else int(last) + 1
    tail = db.execute("SELECT leaf, bytes FROM records ORDER BY idx DESC LIMIT ?", (TAIL,)).fetchall()
    if size != count or any(leaf_hash(data) != leaf for leaf, data in tail):
        raise Unavailable(
            "store.corrupt", "store.path: the log is damaged; keep the files, restore a backup elsewhere"
        )
    return size


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
