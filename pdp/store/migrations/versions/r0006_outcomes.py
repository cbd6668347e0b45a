"""Finds what became of a redeemed call."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the index."""
    op.execute("CREATE INDEX outcomes_of_redemption ON outcomes (redemption_id) WHERE redemption_id <> ''")
