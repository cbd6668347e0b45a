"""Options of the session memory (`sessions.*` in the configuration)."""

from __future__ import annotations

from pydantic import Field

from pdp.files.options import Options


class SessionOptions(Options):
    """Bounds. A session that is forgotten starts again with `known: false`; whose it is lies in the store."""

    max_sessions_per_caller: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Remembered at once; the least recently used go first."
    )
    idle_seconds: int = Field(
        default=8 * 3600,
        ge=1,
        le=30 * 24 * 3600,
        description="A session without calls is forgotten after this, and its id may then be another person's.",
    )
