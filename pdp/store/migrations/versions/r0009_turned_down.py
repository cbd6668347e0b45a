"""Finds what people refused, and what was taken back, of like calls."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

COLUMNS = "tenant, call_subject_id, call_agent, call_server, call_tool, resolved_ns"


def upgrade() -> None:
    """Make the index."""
    ended = "state IN ('cancelled', 'denied', 'revoked')"
    op.execute(f"CREATE INDEX approvals_turned_down ON approvals ({COLUMNS}) WHERE {ended}")
