"""The tables that migrations make are the ones that the statements are for, and old stores lose nothing."""

import re
from pathlib import Path
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from pdp.store import migrations
from pdp.store.migrations import VERSION
from pdp.store.opening import AnyStore
from pdp.store.postgres.tables import head, runs
from pdp.store.tables import metadata

ONLY_POSTGRES = {head.name, runs.name}


def connection(store: AnyStore) -> Connection:
    """One that reads; what is compared is there since the store was opened."""
    return store._engine.connect()


def test_migrations_make_what_statements_need(store: AnyStore, database: str) -> None:
    """Columns, their types and whether they may be empty; indexes. Keys and checks are the migrations' alone."""

    def ours(_object: Any, name: str | None, kind: str, _reflected: Any, _other: Any) -> bool:
        return not (kind == "table" and name in {"alembic_version", "refusals"}) and kind != "unique_constraint"

    with connection(store) as db:
        context = MigrationContext.configure(db, opts={"include_object": ours})
        found = compare_metadata(context, metadata)
        if database == "sqlite":
            found = [each for each in found if not (each[0] == "add_table" and each[1].name in ONLY_POSTGRES)]
        assert [each for each in found if not _known(each)] == []


def _known(difference: Any) -> bool:
    """Indexes that no statement names; SQLite calls a key that is a row's number nullable, which it is not."""
    if isinstance(difference, list):
        return all(each[0] == "modify_nullable" and each[2:4] in _ROW_NUMBERS for each in difference)
    return difference[0] == "remove_index" and difference[1].name in {"values_by_subject", "calls_by_subject"}


_ROW_NUMBERS = {("records", "idx"), ("values", "seq"), ("calls", "seq"), ("replies", "seq")}


def test_the_last_revision_is_the_version() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "newline")
    assert ScriptDirectory.from_config(config).get_current_head() == f"{VERSION:04}"
    files = sorted(Path(migrations.__file__).parent.glob("versions/r*.py"))
    assert [int(re.fullmatch(r"r(\d{4})_\w+", file.stem)[1]) for file in files] == list(range(1, VERSION + 1))  # type: ignore[index] # it matches
