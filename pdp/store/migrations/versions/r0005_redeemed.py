"""Finds what was approved and redeemed by the subject of the call."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

COLUMNS = "tenant, call_subject_id, call_agent, call_server, call_tool, seq"


def upgrade() -> None:
    """Make the index anew, with the subject."""
    op.execute("DROP INDEX approvals_redeemed")
    op.execute(f"CREATE INDEX approvals_redeemed ON approvals ({COLUMNS}) WHERE state = 'redeemed'")
