"""Revocations of tokens that issuers push."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0014"
down_revision = "0013"

TABLES = """
CREATE TABLE revocations (
  idx TEXT PRIMARY KEY, -- a keyed index
  tenant TEXT NOT NULL,
  event TEXT NOT NULL,
  by TEXT NOT NULL,
  until_issued_ns {number} NOT NULL,
  until_ns {number} NOT NULL
) {keyed}
"""


def upgrade() -> None:
    """Make the table."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
