"""What processes of a store have in force, by part and tenant."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
