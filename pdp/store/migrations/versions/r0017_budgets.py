"""What is used of budgets, what is in flight, and what each allow has reserved until its outcome is known."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Make the tables."""
    apply(__file__)
