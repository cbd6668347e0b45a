"""Options of sessions (`sessions.*` in the configuration)."""

from __future__ import annotations

from pydantic import Field

from pdp.files.options import Options

DAY = 24 * 3600


class SessionOptions(Options):
    """When a session is over. The next call under its id then begins another one."""

    max_sessions_per_caller: int = Field(
        default=10_000, ge=1, le=1_000_000, description="Without effect: sessions lie in the store."
    )
    idle_seconds: int = Field(
        default=8 * 3600,
        ge=1,
        le=30 * DAY,
        description="A session without calls is over after this, and its id may then be another person's.",
    )
    lifetime_seconds: int = Field(
        default=7 * DAY, ge=1, le=365 * DAY, description="A session is over after this, however much it is used."
    )
