"""The log, what is kept beside it, and the switches.

The log cannot be changed. SQLite keeps counts of refusals over a crash; PostgreSQL has a row that who writes locks,
and who is running.
"""

from __future__ import annotations

from pdp.store.migrations.statements import apply

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    apply(__file__)
