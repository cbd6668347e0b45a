"""SQLAlchemy on the SQLite store's connections. It never begins or ends a transaction: the writer alone does."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool, StaticPool

# Connections for reads: kept, opened besides where many threads read, and seconds that a read waits for one.
READS: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 4, "max_overflow": 28, "pool_timeout": 5.0}


def on(db: sqlite3.Connection) -> Connection:
    """The writer's own connection, as SQLAlchemy's."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: db,
        poolclass=StaticPool,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
    )
    connection = engine.connect()
    connection.begin()  # says nothing to SQLite, and is never ended; Alembic would commit without it
    return connection


def pool(connect: Callable[[], sqlite3.Connection]) -> Engine:
    """Connections for reads from any thread, one for each read that is under way."""
    return create_engine(
        "sqlite://",
        creator=connect,
        **READS,
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",
        skip_autocommit_rollback=True,
    )


@contextmanager
def plain_faults() -> Iterator[None]:
    """The database's faults are raised as its own, not as SQLAlchemy's: the writer knows them."""
    try:
        yield
    except DBAPIError as e:
        raise e.orig or e from None
