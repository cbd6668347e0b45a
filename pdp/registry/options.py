"""Configuration of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

SignerRole = Literal["author", "reviewer"]


class KeyOptions(BaseModel):
    """One public key that may sign. Who holds which key is decided here, never by what was signed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(min_length=1, max_length=128)
    role: SignerRole
    public_key_file: Path  # PEM, SubjectPublicKeyInfo, Ed25519


class RegistryOptions(BaseModel):
    """`registry:` in the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sets: dict[str, Path] = Field(default_factory=dict)  # tenant -> folder
    keys: tuple[KeyOptions, ...] = ()
    threshold: int = Field(default=2, ge=2)  # distinct keys; author and reviewer are always both needed
    max_stale_seconds: int = Field(default=3600, ge=0)

    @model_validator(mode="after")
    def _satisfiable(self) -> Self:
        ids = [key.id for key in self.keys]
        if len(ids) != len(set(ids)):
            raise ValueError("`keys` has the same id twice; give every key its own")
        if not self.sets:
            return self  # nothing to verify: every server is unknown
        if {key.role for key in self.keys} != {"author", "reviewer"}:
            raise ValueError("`keys` needs at least one key with role `author` and one with role `reviewer`")
        if len(self.keys) < self.threshold:
            raise ValueError("`threshold` is larger than the number of keys, so no set could ever verify")
        return self
