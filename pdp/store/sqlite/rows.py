"""Rows of the log on SQLite, by statements on the writing connection: a decision's time is theirs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection
from typing_extensions import override

from pdp.core.record.stored import Commit, RecordRef, RefusalCount
from pdp.store.alchemy import plain_faults
from pdp.store.rows import SESSIONS, Head, Insert, Rows
from pdp.store.shared import Last, LogWentBack
from pdp.store.sqlite.memory import SessionColumns, SessionMemory
from pdp.store.sqlite.opening import OpenedFile, set_meta

T = TypeVar("T")

_LEAF = "SELECT leaf FROM records WHERE idx = ?"
_COUNT = "INSERT OR REPLACE INTO refusals VALUES (?, ?, ?, ?)"


def numbered(text: str) -> str:
    """A text of SQL with SQLite's numbered parameters."""
    return text.replace("$", "?")


class SqliteRows(Rows):
    """Its one process writes alone."""

    def __init__(self, opened: OpenedFile) -> None:
        super().__init__(opened.origin, "sqlite")
        self._db = opened.writer
        self._people = opened.people
        self._bind = f"{self._inserts[SESSIONS.table]} RETURNING {', '.join(SESSIONS.columns)}"
        self.memory = SessionMemory()
        self._tenant = ""  # of the entry that is written
        self._bound: dict[str, tuple[str, SessionColumns]] = {}  # of this transaction
        self._pairs: set[str] = set()  # changed in it
        self._doubt = False  # it changed, or may have, what is not followed here

    @override
    def _parameters(self, text: str) -> str:
        return numbered(text)

    @override
    def _numbers(self, atoms: Sequence[int]) -> Any:
        return json.dumps(atoms)

    @override
    def _execute(self, text: str, *rows: Sequence[Any]) -> int:
        if len(rows) == 1:
            return self._db.execute(text, rows[0]).rowcount
        return self._db.executemany(text, rows).rowcount

    @override
    def lock(self, known: Head, last: Last | None) -> Head:
        """The file is this process's alone. Raises LogWentBack where somebody has put another's content into it."""
        self._bound, self._pairs, self._doubt = {}, set(), False
        if last is not None:
            leaf = self._db.execute(_LEAF, (last.index,)).fetchall()
            if leaf != [(last.leaf,)]:
                raise LogWentBack("the log is not the one that was written; restore the newest copy of the file")
        return known

    @override
    def write(self, entry: Commit, index: int, believed_ns: int) -> RecordRef:
        self._tenant = entry.tenant
        self._pairs.update(change.pair for change in entry.pairs)
        self._pairs.update(label.pair for label in entry.labels)
        return super().write(entry, index, believed_ns)

    @override
    def _insert(self, into: Insert, *rows: Sequence[Any]) -> int:
        if into is not SESSIONS:
            return super()._insert(into, *rows)
        found = self._db.execute(self._bind, rows[0]).fetchall()
        self._bound.update((row[0], (self._tenant, row)) for row in found)
        return len(found)

    @override
    def doubt(self) -> None:
        self._doubt = True

    @override
    def durable(self) -> None:
        if self._doubt:
            self.memory.clear()
        elif self._bound or self._pairs:
            self.memory.wrote(self._bound, self._pairs)

    @override
    def undone(self) -> None:
        self.memory.clear()

    @override
    def advance(self, head: Head) -> None:
        """The records say it."""

    @override
    def plain(self, entry: Commit) -> bool:
        """A file has no round trips to save."""
        return False

    @override
    def commit_plain(self, *_: object) -> None:
        """As `plain` says."""

    @override
    def on(self, work: Callable[[Connection], T]) -> T:
        self.doubt()
        with plain_faults():
            return work(self._people)

    @override
    def alone(self) -> bool:
        return True

    @override
    def saved_refusals(self) -> dict[tuple[str, str, str], int]:
        rows = self._db.execute("SELECT tenant, caller, code, count FROM refusals").fetchall()
        return {(tenant, caller, code): count for tenant, caller, code, count in rows}

    @override
    def save_refusals(self, counts: Sequence[RefusalCount]) -> None:
        self._db.executemany(_COUNT, counts)
        self._db.execute("DELETE FROM refusals WHERE count <= 0")

    @override
    def end_run(self) -> None:
        set_meta(self._db, "clean", "1")
