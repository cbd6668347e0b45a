"""The WAL is copied into the database beside the commits; on SQLite alone."""

from contextlib import suppress
from threading import Event
from typing import Any

import pytest
from support.stored import entry

from pdp.core.errors import Unavailable
from pdp.store.sqlite import transactions
from pdp.store.sqlite.opening import FILE
from pdp.store.sqlite.store import SqliteStore
from pdp.store.writer import TIDY_WRITES

FRAME = 4096 + 24


@pytest.fixture
def database() -> str:
    return "sqlite"


async def fill(store: Any, commits: int, first: int = 0) -> None:
    for n in range(commits):
        start = first + n * 64
        await store.commit_all(tuple(entry(start + k) for k in range(64)))


async def test_the_wal_begins_anew_under_constant_load(
    place: Any, where: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is written while it is copied."""
    monkeypatch.setattr(transactions, "MOST_FRAMES", 100)
    store: SqliteStore = place.open()
    wal = where["path"] / f"{FILE}-wal"
    await fill(store, 40)
    after_some = wal.stat().st_size
    await fill(store, 160, 40 * 64)
    assert wal.stat().st_size < 2 * after_some
    await store.close()
    assert not wal.exists()


async def test_a_copy_that_fails_ends_the_writing(place: Any, where: Any) -> None:
    """What was answered before is there."""
    store: SqliteStore = place.open()
    store._opened.copier.close()  # every use of it fails
    written = 0
    while store.healthy():
        with suppress(Unavailable):
            await store.commit(entry(written))
            written += 1
    with pytest.raises(Unavailable) as refused:
        await store.commit(entry(10**6))
    assert refused.value.code == "record.unavailable"
    await store.close()
    assert 0 < written == place.open(seed="second").size()


async def test_no_commit_waits_for_a_copy(place: Any) -> None:
    """One that does not come to its end."""
    store: SqliteStore = place.open()
    await store.commit(entry(10**6))
    ends = Event()
    copying = store._database._thread.submit(lambda: int(ends.wait()))  # where every copy runs
    try:
        await fill(store, 2 * TIDY_WRITES // 64 + 1)
        assert store.size() > 2 * TIDY_WRITES
        assert not copying.done()
    finally:
        ends.set()
