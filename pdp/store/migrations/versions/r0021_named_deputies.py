"""Delegations say which operator made them, if the one who is away did not."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the column. On no page of the releases before could an operator name a deputy."""
    apply(__file__)
