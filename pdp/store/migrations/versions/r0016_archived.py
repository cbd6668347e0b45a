"""Records below the mark `archived` may be emptied, and changed in nothing else."""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Exchange the triggers."""
    apply(__file__)
