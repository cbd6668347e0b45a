"""Votes say when what the voter signed in with was issued: one that was revoked since does not count."""

from __future__ import annotations

from alembic import op

from pdp.store.migrations.ddl import statements

revision = "0020"
down_revision = "0019"

TABLES = """
ALTER TABLE votes ADD COLUMN signed_in_ns {number} NOT NULL DEFAULT 0
"""


def upgrade() -> None:
    """Add the column; what was voted before does not say, so any revocation reaches it."""
    for statement in statements(TABLES, op.get_bind().dialect.name):
        op.execute(statement)
