"""Labels that people were asked to remove stand beside what puts them there again."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Make the table anew, with its rows."""
    apply(__file__)
