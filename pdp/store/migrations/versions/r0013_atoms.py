"""What subjects and agents have seen, as keyed hashes; and whose each place is, for erasure."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Make the tables."""
    apply(__file__)
