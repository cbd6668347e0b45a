"""The tables that migrations make are those that the statements are for; the next ones change it where it lies."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from support.stored import an_approval, entry, shown_of

from pdp.core.approvals.steps import Open
from pdp.core.errors import ConfigurationFault, Unavailable
from pdp.store import migrations
from pdp.store.migrations import VERSION
from pdp.store.opening import AnyStore
from pdp.store.sqlite.opening import FILE
from pdp.store.tables import head, metadata, runs

T = TypeVar("T")

ONLY_POSTGRES = {head.name, runs.name}


def reading(store: Any, work: Callable[[Connection], T]) -> T:
    """By a connection that reads; what is compared is there since the store was opened."""

    def run() -> T:
        with store._engine.connect() as db:
            return work(db)

    return store._bridge.run(run) if hasattr(store, "_bridge") else run()  # type: ignore[no-any-return] # any store's


def test_migrations_make_what_statements_need(store: AnyStore, database: str) -> None:
    """Columns, their types and whether they may be empty; indexes. Keys and checks are the migrations' alone."""

    def ours(_object: Any, name: str | None, kind: str, _reflected: Any, _other: Any) -> bool:
        return not (kind == "table" and name == "refusals") and kind != "unique_constraint"

    def compared(db: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(db, opts={"include_object": ours}), metadata)

    found = reading(store, compared)
    if database == "sqlite":
        found = [each for each in found if not (each[0] == "add_table" and each[1].name in ONLY_POSTGRES)]
    assert [each for each in found if not _known(each)] == []


def _known(difference: Any) -> bool:
    """Indexes that no statement names; SQLite calls a key that is a row's number nullable, which it is not."""
    if isinstance(difference, list):
        return all(each[0] == "modify_nullable" and each[2:4] in _ROW_NUMBERS for each in difference)
    return difference[0] == "remove_index" and difference[1].name in {"values_by_subject", "calls_by_subject"}


_ROW_NUMBERS = {("records", "idx"), ("values", "seq"), ("calls", "seq"), ("replies", "seq")}


@pytest.fixture
def sql(where: dict[str, Any], request: pytest.FixtureRequest) -> Callable[..., None]:
    """Runs statements on the closed store."""

    def run(*statements: str) -> None:
        if "url" in where:
            name = where["url"].partition("?")[0].rpartition("/")[2]
            request.getfixturevalue("postgres").sql(*statements, database=name)
            return
        with closing(sqlite3.connect(where["path"] / FILE)) as db:
            for statement in statements:
                db.execute(statement)
            db.commit()

    return run


@contextmanager
def release(folder: Path, *statements: str) -> Iterator[None]:
    """The release after this one, whose revision has these statements."""
    path = folder / f"r{VERSION + 1:04}_next.sql"
    path.write_text("\n\n".join(statements))
    with pytest.MonkeyPatch.context() as following:
        following.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, path))
        following.setattr(migrations, "VERSION", VERSION + 1)
        yield


NEXT = (
    "ALTER TABLE shown ADD COLUMN more {number} NOT NULL DEFAULT 0",
    "-- Of calls.\nCREATE INDEX more ON shown (more)",
)


async def test_the_next_release_changes_tables_where_they_lie(
    place: Any, sql: Callable[..., None], tmp_path: Path
) -> None:
    store = place.open()
    approval = an_approval(1)
    await store.commit(entry(1, Open(approval, shown_of(approval))))
    await store.close()
    with release(tmp_path, *NEXT, "CREATE TABLE runs (no such type"), pytest.raises(Unavailable) as cut_short:
        place.open()
    assert cut_short.value.code == "store.unreadable"
    assert place.open().approval("acme", approval.id) == approval  # nothing of it is done
    await place.left.aclose()
    with release(tmp_path, *NEXT):
        for number in (2, 3):  # once: a store of that release is opened as it is
            again = place.open()
            assert again.approval("acme", approval.id) == approval
            await again.commit(entry(number))
            await again.close()
    sql("UPDATE shown SET more = 1")
    with pytest.raises(ConfigurationFault) as newer:
        place.open()
    assert newer.value.code == "store.schema"


@pytest.mark.parametrize(
    "damage", ["state = 'delegated'", "call_actors = '[[\"a\"]]'", "call_actors = 'none'", "call_actors = '[1]'"]
)
async def test_a_row_that_another_release_wrote_is_refused_in_so_many_words(
    place: Any, sql: Callable[..., None], damage: str
) -> None:
    store = place.open()
    approval = an_approval(1)
    await store.commit(entry(1, Open(approval, shown_of(approval))))
    await store.close()
    sql(f"UPDATE approvals SET {damage}")
    with pytest.raises(Unavailable) as e:
        place.open().approval("acme", approval.id)
    assert e.value.code == "store.unreadable"
