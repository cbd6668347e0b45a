"""What is said of a database's error: its class and code, in an end."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from pdp.store.alchemy import plain_faults, said
from pdp.store.postgres.connection import why


def test_an_error_that_is_raised_in_place_of_its_wrapper_has_an_end() -> None:
    """They are each other's cause; the writer would never come back."""
    engine = create_engine("sqlite://")
    with engine.connect() as db:
        db.execute(text("CREATE TABLE t (a INTEGER PRIMARY KEY)"))
        insert = text("INSERT INTO t VALUES (1)")
        db.execute(insert)
        with pytest.raises(sqlite3.IntegrityError) as e, plain_faults():
            db.execute(insert)
    engine.dispose()
    assert said(e.value).startswith("IntegrityError SQLITE_CONSTRAINT_PRIMARYKEY")


def test_a_ring_of_causes_is_walked_once() -> None:
    one, other = ValueError("secret"), KeyError("secret")
    one.__cause__, other.__cause__ = other, one
    assert said(one) == "ValueError from KeyError"
    assert why(OperationalError("", None, one)) == "nothing answers at its host and port"  # a start has an end too
