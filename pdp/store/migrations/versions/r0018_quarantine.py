"""Switches of one more scope: tools in quarantine."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Make the table anew, with its rows."""
    apply(__file__)
