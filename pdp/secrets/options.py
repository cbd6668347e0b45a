"""Configuration of Vault (`vault.*`): address and token."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pdp.core.names import is_loopback


class VaultOptions(BaseModel):
    """The Vault in which `vault:PATH#KEY` is looked up, at start only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        description="Where Vault listens: https://host:port, plain http for loopback only.",
        examples=["https://vault.acme.example:8200"],
    )
    token: str = Field(
        description="file:PATH of the token, as Vault's agent writes it; mode 0600.",
        examples=["file:secrets/vault.token"],
        json_schema_extra={"secret": True},
    )
    ca_file: Path | None = Field(
        None, description="PEM of who signs Vault's certificate; the system's authorities without it."
    )
    namespace: str = Field("", max_length=256, pattern=r"^[!-~]*$", description="Of Vault Enterprise or OpenBao.")
    timeout_seconds: float = Field(
        5.0, ge=0.1, le=60, description="Without a word from Vault for so long, start-up fails."
    )

    @field_validator("url")
    @classmethod
    def _safe(cls, url: str) -> str:
        parts = urlsplit(url)
        if not parts.hostname or parts.username is not None or parts.password is not None:
            raise ValueError("must be https://host:port, without user information")
        if parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("must end after the port; the path of a secret stands in its reference")
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
            raise ValueError("must be https (plain http only for a loopback host)")
        return url.rstrip("/")

    @field_validator("token")
    @classmethod
    def _in_a_file(cls, token: str) -> str:
        if not token.startswith("file:"):
            raise ValueError("must be file:PATH; a token never stands in the configuration")
        return token

    @model_validator(mode="after")
    def _ca_for_tls(self) -> Self:
        if self.ca_file is not None and not self.url.startswith("https:"):
            raise ValueError("ca_file goes with an https url")
        return self
