"""What tenants' agents named for the first time."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
