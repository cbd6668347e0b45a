"""Delegations say which operator made them, if the one who is away did not."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0021"
down_revision = "0020"

TABLES = """
ALTER TABLE delegations ADD COLUMN "by" TEXT NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    """Add the column. On no page of the releases before could an operator name a deputy."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
