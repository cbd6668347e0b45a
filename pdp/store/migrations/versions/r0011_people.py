"""Whom the pseudonyms of records stand for. Records of older releases hold ids, and have no rows here."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
