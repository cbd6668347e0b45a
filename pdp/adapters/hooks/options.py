"""Configuration of hooks over HTTP (`hooks.*`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pdp.core.names import is_loopback
from pdp.files.options import Options

Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x20\x7f]+$")]


class ClaudeCodeOptions(Options):
    """Claude Code's HTTP hooks, at `/claude-code`."""

    server: Name = Field("claude-code", description="Id in the registry of the agent's own tools.")
    servers: dict[Name, Name] = Field(
        default_factory=dict,
        description="Servers of the registry by the agent's names of its MCP servers; other names are ids.",
        examples=[{"git": "forge"}],
    )
    budget_ms: int = Field(
        5_000, ge=50, le=9_000, description="Answered within this; later is a block. Give the hook a longer timeout."
    )


class CopilotStudioOptions(Options):
    """Copilot Studio's external threat detection, at `/copilot-studio/`."""

    agents: dict[Name, Name] = Field(
        min_length=1,
        description="Servers of the registry that hold agents' tools, by agent ids; other agents are blocked.",
        examples=[{"5be3e14e-0000-4000-8000-7c1e52344333": "sales-agent"}],
    )
    budget_ms: int = Field(
        600,
        ge=50,
        le=900,
        description="Answered within this of the request's arrival; later is a block. After 1,000 ms Copilot Studio "
        "goes on without an answer.",
    )


class HookOptions(Options):
    """Hooks of agents that ask by HTTP, on a listener of their own."""

    listen: str = Field(description="HOST:PORT of its own listener.", examples=["127.0.0.1:8443"])
    certificate_file: Path | None = Field(None, description="Its TLS certificate, with the chain, PEM.")
    key_file: Path | None = Field(None, description="The certificate's private key.")
    behind_proxy: bool = Field(
        default=False,
        description="A proxy speaks TLS, and nobody else reaches the address; else plaintext is for loopback only.",
    )
    principals_issuer: Name | None = Field(
        None,
        description="Issuer of the subjects that are the asking caller, or the asking agent, itself: where no access "
        "token comes and no user is named. It counts where `may_assert.claims` of the caller has it; without it such "
        "calls have no subject and are blocked.",
        examples=["urn:acme:hooks"],
    )
    max_body_bytes: int = Field(1 << 20, ge=1 << 10, le=8 << 20, description="Of one event; a larger one is blocked.")
    claude_code: ClaudeCodeOptions | None = Field(None, description="Whether Claude Code may ask.", examples=[{}])
    copilot_studio: CopilotStudioOptions | None = Field(None, description="Whether Copilot Studio may ask.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        host, colon, port = self.listen.rpartition(":")
        if not colon or not host.strip("[]") or not port.isdecimal() or int(port) >= 1 << 16:
            raise ValueError("listen must be HOST:PORT or [IPV6]:PORT")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        if self.certificate_file is None and not self.behind_proxy and not is_loopback(host.strip("[]")):
            raise ValueError("plaintext is for a literal loopback address; give certificate_file, or behind_proxy")
        return self
