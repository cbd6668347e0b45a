"""State of sessions, and the labels and awaited results of those who hold them.

A session of an older release counts as one whose calls nobody counted: it was opened at 0.
"""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the columns and tables."""
    apply(__file__)
