"""Revocations of tokens that issuers push."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
