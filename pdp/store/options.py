"""Options of the store (`store.*` in the configuration)."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator


class StoreOptions(BaseModel):
    """Where the log lies and how commits are grouped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Path = Field(
        Path("var/store"), description="A directory of its own on a local disk; created with mode 0700."
    )
    origin: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}$",  # C2SP: no spaces, no plus
        description="The log's name in checkpoints; chosen at random without one, and fixed at the first start.",
        examples=["acme.example/pdp"],
    )
    linger_ms: float = Field(
        default=1.0, ge=0, le=2, description="Under load, how long a commit waits for others; idle ones never wait."
    )
    max_batch: int = Field(default=64, ge=1, le=64, description="Entries of one commit.")
    max_queue: int = Field(
        default=4096, ge=64, le=65536, description="Entries that wait for a commit; beyond, RESOURCE_EXHAUSTED."
    )
    probe_seconds: float = Field(
        default=1.0,
        ge=0.05,
        le=60,
        description="After a full disk, how often it is asked whether there is room again.",
    )
    replies_keep_seconds: int = Field(
        default=24 * 3600, ge=60, le=30 * 24 * 3600, description="How long a request can be repeated."
    )
    calls_keep_seconds: int = Field(
        default=7 * 24 * 3600, ge=60, le=366 * 24 * 3600, description="How long asking again gives the same digest."
    )
    values_keep_seconds: int | None = Field(
        default=None,
        ge=3600,
        description="How long the values behind records can be opened and replayed; for good if unset.",
    )
    refusals_per_minute: int = Field(
        default=30,
        ge=0,
        le=10_000,
        description="Refusals with a record each, per tenant, caller and code; more are counted in one.",
    )

    @field_validator("path")
    @classmethod
    def _on_disk(cls, path: Path) -> Path:
        if str(path).startswith((":memory:", "file:")):
            raise ValueError("must be a directory on disk: records in memory would not survive")
        return path
