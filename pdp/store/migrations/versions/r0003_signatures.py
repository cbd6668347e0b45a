"""How often the authenticators of passkeys have signed."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table."""
    apply(__file__)
