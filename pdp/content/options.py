"""Configuration of the content component."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pdp.core.strict_json import MAX_BYTES, MAX_DEPTH


class ContentOptions(BaseModel):
    """`content:` in the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_arguments_bytes: int = Field(
        default=MAX_BYTES, ge=2, le=4 * MAX_BYTES, description="Of a call's arguments; more is INVALID_ARGUMENT."
    )
    max_values: int = Field(
        default=16_384, ge=1, le=1_048_576, description="Members of all objects and arrays of a call together."
    )
    max_depth: int = Field(default=MAX_DEPTH, ge=1, le=64, description="Of nesting in arguments.")
    compiled_schemas: int = Field(
        default=4096, ge=1, description="Schemas kept compiled; the least recently used go first."
    )
