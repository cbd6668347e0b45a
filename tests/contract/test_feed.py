"""Consumers of the log are fed by the commit, on both stores: what they read is what the store has, whatever comes
between, and nothing is told that is not durable or was erased."""

import asyncio
import random
from typing import Any

import pytest
from support.stored import AT, an_id, entry

from pdp.core.errors import Fault
from pdp.core.record.stored import PersonRow, ValueRow
from pdp.store import feed as feeds
from pdp.store.opening import AnyStore


def with_document(n: int) -> Any:
    return entry(n, values=(ValueRow(an_id(n), "acme", "alice-index", "input", b"salt", b'{"n":%d}' % n),))


def told(rows: Any) -> list[tuple[int, bytes, bytes]]:
    return [(row.index, row.leaf, row.data) for row in rows]


def kept(store: AnyStore, start: int, count: int) -> list[tuple[int, bytes, bytes]]:
    return [(index, *row) for index, row in enumerate(store.records_from(start, count), start)]


async def test_what_was_committed_is_not_read_again(store: AnyStore) -> None:
    one, other = store.follow(), store.follow()
    for feed in (one, other):
        assert await feed.rows(0, 9) == []
    await store.commit_all((with_document(0), entry(1)))
    (first, second), again = await one.rows(0, 9), await other.rows(0, 9)
    assert told((first, second)) == kept(store, 0, 9)
    assert (first.committed, first.document, second.document) == (True, b'{"n":0}', None)
    assert (first.intact, first.record, again[0].record) == (True, {"id": an_id(0)}, first.record)
    assert again[0] is first  # parsed once
    before = await one.rows(0, 9)  # who goes back reads
    assert (told(before), [row.committed for row in before]) == (told((first, second)), [True, True])
    await one.rows(2, 1)
    assert [row.committed for row in await one.rows(0, 9)] == [False, False]


async def test_nothing_that_failed_is_told(store: AnyStore) -> None:
    feed = store.follow()
    await feed.rows(0, 1)
    await store.commit(entry(0))
    outcomes = await asyncio.gather(
        store.commit(entry(1)),
        store.commit(entry(0)),  # taken
        store.commit_all((entry(2), entry(0))),
        store.commit(entry(3)),
        return_exceptions=True,
    )
    assert [isinstance(each, Fault) for each in outcomes] == [False, True, True, False]
    rows = await feed.rows(0, 9)
    assert told(rows) == kept(store, 0, 9)
    assert {row.record["id"] for row in rows} == {an_id(0), an_id(1), an_id(3)}
    assert all(row.committed for row in rows)


async def test_a_feed_holds_so_much_and_the_rest_is_read(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = store.follow()
    await feed.rows(0, 1)
    monkeypatch.setattr(feeds, "MOST_BYTES", 3 * len(entry(0).record))
    await store.commit_all(tuple(entry(n) for n in range(8)))
    rows = await feed.rows(0, 8)
    assert told(rows) == kept(store, 0, 8)
    assert not any(row.committed for row in rows)
    assert [row.committed for row in await feed.rows(5, 3)] == [True] * 3
    feed.leave()
    await store.commit(entry(8))
    assert [row.committed for row in await feed.rows(6, 9)] == [False] * 3


async def test_an_erasure_leaves_nothing_in_memory(store: AnyStore) -> None:
    feed = store.follow()
    await feed.rows(0, 1)
    await store.commit_all((with_document(0), entry(1)))
    await store.erase_subject("acme", "alice-index")
    rows = await feed.rows(0, 9)
    assert told(rows) == kept(store, 0, 9)
    assert [(row.committed, row.document) for row in rows] == [(False, None)] * 2
    await store.commit(with_document(2))
    assert [row.document for row in await feed.rows(2, 1)] == [b'{"n":2}']
    person = PersonRow("p-1", "acme", "alice-index", "account", "", "alice")
    await store.erase_people((person,), (entry(3, kind="erasure"),))
    assert [row.document for row in await feed.rows(2, 9)] == [None, None]


async def test_what_is_read_is_the_log_whatever_comes_between(place: Any, database: str) -> None:
    """Two processes on PostgreSQL, one on SQLite; consumers that lag, go back and leave."""
    drawn = random.Random(7)
    stores = [place.open(seed="a"), *([place.open(seed="b")] if database == "postgres" else [])]
    following = [(store, store.follow()) for store in stores for _ in range(2)]
    positions, size = [0] * len(following), 0
    for turn in range(120):
        writer = drawn.choice(stores)
        count = drawn.randint(1, 4)
        await writer.commit_all(tuple(with_document(1000 * turn + n) for n in range(count)))
        size += count
        if turn % 40 == 39:
            await writer.erase_subject("acme", "alice-index")
        number = drawn.randrange(len(following))
        store, feed = following[number]
        start = drawn.randint(0, positions[number]) if drawn.random() < 0.1 else positions[number]
        rows = await feed.rows(start, drawn.randint(1, 9))
        assert told(rows) == kept(store, start, len(rows))
        assert rows or start == size
        assert all(row.intact for row in rows)
        positions[number] = start + len(rows)
        if drawn.random() < 0.05:
            feed.leave()


async def test_after_a_restart_consumers_go_on(place: Any) -> None:
    store = place.open()
    await store.commit_all((entry(0), entry(1)))
    await store.close()
    store = place.open(seed="second")
    feed = store.follow()
    await store.commit(entry(2))
    assert told(await feed.rows(1, 9)) == kept(store, 1, 9)
    await store.commit(entry(3))
    assert [(row.index, row.committed, row.record["id"]) for row in await feed.rows(3, 9)] == [(3, True, an_id(3))]


async def test_rows_that_were_changed_in_the_store_are_found(store: AnyStore) -> None:
    """Those that are read from it."""
    await store.commit_all((entry(0), entry(1, at_ns=AT + 1)))
    (row, other) = await store.follow().rows(0, 2)
    assert row.intact
    row.data = other.data
    assert not row.intact
