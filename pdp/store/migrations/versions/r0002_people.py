"""What people answer: requests with their votes, standing answers, and what is sent about them."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    apply(__file__)
