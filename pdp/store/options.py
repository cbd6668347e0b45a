"""Options of the store (`store.*` in the configuration)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class StoreOptions(BaseModel):
    """Where the log lies and how commits are grouped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # A directory of its own on a local disk; created with mode 0700.
    path: Path = Path("var/store")
    # The log's name in checkpoints (C2SP: no spaces, no plus). Chosen at random when the store is created
    # without one, and fixed from then on.
    origin: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$")
    # Under load, how long a commit waits for as many entries as the last one had. Idle commits never wait.
    linger_ms: float = Field(default=1.0, ge=0, le=2)
    max_batch: int = Field(default=64, ge=1, le=64)
    max_queue: int = Field(default=4096, ge=64, le=65536)
    # After a full disk: how often a test write asks whether there is room again.
    probe_seconds: float = Field(default=1.0, ge=0.05, le=60)
    replies_keep_seconds: int = Field(default=24 * 3600, ge=60, le=30 * 24 * 3600)
    calls_keep_seconds: int = Field(default=7 * 24 * 3600, ge=60, le=366 * 24 * 3600)
    # Refusals of one (tenant, caller, code) that get a record of their own, per minute.
    refusals_per_minute: int = Field(default=30, ge=0, le=10_000)

    @field_validator("path")
    @classmethod
    def _on_disk(cls, path: Path) -> Path:
        if str(path).startswith((":memory:", "file:")):
            raise ValueError("must be a directory on disk: records in memory would not survive")
        return path
