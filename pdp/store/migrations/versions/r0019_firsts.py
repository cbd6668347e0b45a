"""What tenants' agents named for the first time."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0019"
down_revision = "0018"

TABLES = """
CREATE TABLE firsts (
  tenant TEXT NOT NULL,
  sort TEXT NOT NULL,
  idx TEXT NOT NULL, -- a keyed index; empty for all that has no place
  record {number} NOT NULL, -- the index of the one that named it first
  PRIMARY KEY (tenant, sort, idx)
) {keyed}
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
