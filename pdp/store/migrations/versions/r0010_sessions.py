"""Whose a session is, for as long as it may be used."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
