"""Whom the pseudonyms of records stand for. Records of older releases hold ids, and have no rows here."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0011"
down_revision = "0010"

TABLES = """
CREATE TABLE people (
  pseudonym TEXT PRIMARY KEY,
  tenant TEXT NOT NULL,
  subject TEXT NOT NULL, -- a keyed index
  kind TEXT NOT NULL,
  issuer TEXT NOT NULL,
  id TEXT NOT NULL
) {keyed}

CREATE INDEX people_by_subject ON people (subject)
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
