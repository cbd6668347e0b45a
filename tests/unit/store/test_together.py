"""Entries of one transaction are written together on SQLite, and leave what they leave one by one."""

import asyncio
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.stored import AT, Entropy, an_id, entry

from pdp.core.errors import Conflict, Fault, InvalidRequest
from pdp.core.ports.commit import Commit, CommitStep, RaiseMark
from pdp.core.rows.log import CallRow, PersonRow, ReplyRow, ValueRow
from pdp.core.rows.sessions import LabelRow, SessionOpening, SessionRow
from pdp.store.options import StoreOptions
from pdp.store.sqlite.store import SqliteStore

OWN = frozenset({"meta"})  # names the log and the run


def opened(path: Path) -> SqliteStore:
    return SqliteStore.open(StoreOptions(path=path), entropy=Entropy())


def session(n: int, **more: Any) -> SessionRow:
    at = AT + n
    return SessionRow(
        f"s{n % 3}", "alice", at + 10**12, opened_ns=at, used_ns=at, over_ns=at + 10**12, calls=1, **more
    )


def whole(n: int, *others: CommitStep) -> Commit:
    """A plain entry with every part, `others` in place of those of their types; some rows come again in later
    ones."""
    value = ValueRow(an_id(n), "acme", "alice", "arguments", b"s", b"%d" % n)
    steps: list[CommitStep] = [
        value,
        replace(value, path="input", data=b"i" * n),
        CallRow(f"c{n % 5}", "acme", "alice", b"s", "d", AT + n),
        ReplyRow(f"k{n}", "said", "decide", "allow", b"{}", "e", AT + n, AT + n),
        session(n),
        PersonRow(f"p-{n % 2}", "acme", "alice", "account", "i", "alice"),
    ]
    if n % 4 == 0:
        steps.append(SessionOpening(f"s{n % 3}", AT + n, "acme", "gateway", "r", AT + n))
    kinds = set(map(type, others))
    return entry(n, *(step for step in steps if type(step) not in kinds), *others)


def rows(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with sqlite3.connect(path / "pdp.sqlite3") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for table in sorted(set(tables) - OWN):
            found[table] = sorted(db.execute(f'SELECT * FROM "{table}"').fetchall())
        return found


async def left(path: Path, entries: Sequence[Commit], *, together: bool) -> Any:
    store = opened(path)
    try:
        if together:
            refs = await store.commit_all(tuple(entries))
        else:
            refs = tuple([await store.commit(each) for each in entries])
        told = [store.session(f"s{n}") for n in range(3)], [store._memory._rows.get(f"s{n}") for n in range(3)]
    finally:
        await store.close()
    return [(ref.index, ref.leaf_hash) for ref in refs], told, rows(path)


@pytest.mark.parametrize("count", [1, 2, 3, 9, 31, 64, 77])
async def test_entries_leave_together_what_they_leave_one_by_one(tmp_path: Path, count: int) -> None:
    entries = [whole(n) for n in range(1, count + 1)]
    found = await left(tmp_path / "together", entries, together=True)
    assert found == await left(tmp_path / "alone", entries, together=False)
    assert len(found[2]["records"]) == count


async def test_what_is_not_plain_stands_beside_what_is(tmp_path: Path) -> None:
    label = LabelRow("pair", "secret", "code", "", an_id(2), AT)
    entries = [whole(1), whole(2, label), whole(3, RaiseMark("clock", AT)), whole(4)]
    found = await left(tmp_path / "together", entries, together=True)
    alone = await left(tmp_path / "alone", entries, together=False)
    assert (found[0], found[1][0], found[2]) == (alone[0], alone[1][0], alone[2])
    assert len(found[2]["labels"]) == len(found[2]["high_water"]) == 1


TAKEN: dict[str, tuple[CommitStep, type[Fault], str]] = {
    "another's session": (replace(session(1), owner="mallory"), Conflict, "store.conflict"),
    "another salt": (CallRow("c1", "acme", "alice", b"other", "d", AT), Conflict, "store.conflict"),
    "a reply's key": (
        ReplyRow("k1", "other", "decide", "allow", b"{}", "e", AT, AT),
        InvalidRequest,
        "request.id_reused",
    ),
}


@pytest.mark.parametrize("taken", TAKEN)
async def test_one_entry_at_fault_takes_nobody_with_it_and_nothing_of_it_stays(tmp_path: Path, taken: str) -> None:
    step, kind, code = TAKEN[taken]
    steps = (step,) if isinstance(step, SessionRow) else (session(1), step)
    store = opened(tmp_path)
    try:
        await store.commit(whole(1))
        found = await asyncio.gather(
            store.commit(whole(2)), store.commit(whole(9, *steps)), store.commit(whole(3)), return_exceptions=True
        )
        assert isinstance(found[1], kind)
        assert found[1].code == code
        assert [getattr(each, "index", None) for each in found] == [1, None, 2]
        assert store.record(an_id(9)) is None
        with pytest.raises(kind):
            await store.commit_all((whole(4), whole(9, *steps)))
        assert (store.record(an_id(4)), store.size()) == (None, 3)
    finally:
        await store.close()


async def test_two_replies_that_are_renewed_at_once_are_both_renewed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    try:
        await store.commit_all((whole(1), whole(2), whole(3)))
        again = [replace(reply, created_ns=AT + 99) for n in (1, 2, 3) for reply in whole(n).of(ReplyRow)]
        await store.commit_all(tuple([entry(10 + n, reply) for n, reply in enumerate(again)]))
        found = [store.reply(f"k{n}") for n in (1, 2, 3)]
        assert [each and each.created_ns for each in found] == [AT + 99] * 3
        assert store.size() == 6
    finally:
        await store.close()
