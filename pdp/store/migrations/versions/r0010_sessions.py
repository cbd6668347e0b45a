"""Whose a session is, for as long as it may be used."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0010"
down_revision = "0009"

TABLES = """
CREATE TABLE sessions (
  idx TEXT PRIMARY KEY,
  owner TEXT NOT NULL, -- both are keyed indexes
  until_ns {number} NOT NULL
) {keyed}

CREATE INDEX sessions_by_age ON sessions (until_ns)
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
