"""Votes say when what the voter signed in with was issued: one that was revoked since does not count."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Add the column; what was voted before does not say, so any revocation reaches it."""
    apply(__file__)
