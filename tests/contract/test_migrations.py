"""The tables that migrations make are the ones that the statements are for, and old stores lose nothing."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine
from support.stored import AT, an_approval, entry, shown_of

from pdp.core.approvals.rows import Answered
from pdp.core.approvals.steps import Open, PutAnswer
from pdp.core.errors import Unavailable
from pdp.store import migrations
from pdp.store.migrations import apply
from pdp.store.opening import AnyStore
from pdp.store.options import StoreOptions
from pdp.store.postgres.connection import Bridge, writing
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
        return not (kind == "table" and name in {"alembic_version", "refusals"}) and kind != "unique_constraint"

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


# What stores out there were made by. A table changes by a new revision; a changed one would leave them as they are.
RELEASED = {
    "r0001_log.sql": "d1ccaeb469f9c5eb6f3c178bbcd1cc685bebc8cade629f194825315d54cd5eea",
    "r0001_log.sqlite.sql": "36cea9021e38841a169d5a707da8e41645e34114f65149fb5b61b1e9a93fb228",
    "r0001_log.postgresql.sql": "cac2885a29e233dddfc6613f8d3fc723620dfeee24f9941708ea7390ee860808",
    "r0002_people.sql": "eefa577c757e912ff76e7da79998e172fcac46e28185dbea3891a5af1bc4aae6",
    "r0003_signatures.sql": "4b9c51e084db18f93dacff55fc123ed8f96b749fcb67a6f87b829dd48107b72d",
    "r0004_ages.sql": "eb478912e341f0254327d0b81762267a12071302f1cd2c549a6f2ecac79fd93c",
}


def test_a_released_revision_stays_as_it_is() -> None:
    folder = Path(migrations.__file__).parent / "revisions"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in RELEASED} == RELEASED


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


def engine(where: dict[str, Any], request: pytest.FixtureRequest) -> Engine:
    """One that writes to the closed store."""
    if "path" in where:
        return create_engine(f"sqlite:///{where['path'] / FILE}")
    server, name = request.getfixturevalue("postgres"), where["url"].partition("?")[0].rpartition("/")[2]
    options = StoreOptions(url=server.url(name))
    return writing(options, b"", "test")


_GONE = ("basis", "asker", "refused", "subject_index", "opinion")


async def test_the_first_stores_with_requests_get_what_their_tables_lack(
    place: Any, where: dict[str, Any], sql: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    """Theirs was revision 2 before it was extended: whoever looked at a request could not read it."""
    store = place.open()
    approval = an_approval(1)
    answered = Answered(approval.call.digest, "r" * 64, "acme", "judge", b"{}", AT + 1, AT)
    steps = (Open(approval, shown_of(approval)), PutAnswer(answered))
    await store.commit_all(tuple(entry(n, steps=(step,)) for n, step in enumerate(steps, 1)))
    await store.close()
    sql("DROP INDEX evidence_of_asker", *(f"ALTER TABLE evidence DROP COLUMN {name}" for name in _GONE))
    writer = engine(where, request)

    def migrate() -> None:
        with writer.begin() as db:
            for _ in range(2):  # a store that has them already is left as it is
                apply(db, 8)
        writer.dispose()

    if "path" in where:
        migrate()
    else:
        with closing(Bridge("test")) as bridge:
            bridge.run(migrate)
    again = place.open()
    assert again.approval("acme", approval.id) == approval
    assert again.answers_of("acme", approval.call.digest) == (answered,)  # of no basis: it unlocks nothing


@pytest.mark.parametrize(
    "damage", ["state = 'delegated'", "call_actors = '[[\"a\"]]'", "call_actors = 'none'", "call_actors = '[1]'"]
)
async def test_a_row_that_another_release_wrote_is_refused_in_so_many_words(
    place: Any, sql: Callable[..., None], damage: str
) -> None:
    store = place.open()
    approval = an_approval(1)
    await store.commit(entry(1, steps=(Open(approval, shown_of(approval)),)))
    await store.close()
    sql(f"UPDATE approvals SET {damage}")
    with pytest.raises(Unavailable) as e:
        place.open().approval("acme", approval.id)
    assert e.value.code == "store.unreadable"
