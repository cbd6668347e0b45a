"""Finds the judge's oldest answers."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the index."""
    op.execute("CREATE INDEX evidence_by_age ON evidence (created_ns)")
