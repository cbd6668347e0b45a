"""Configuration of the channels that tell people of requests (`approvals.channels`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from pdp.core.approvals.requirement import ApprovalKind

Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x20\x7f]+$")]
Address = Annotated[str, StringConstraints(max_length=254, pattern=r"^[!#-'*+\-/-9=?A-Z^-~.]+@[A-Za-z0-9.-]+$")]
_SECRET: dict[str, Any] = {"secret": True}


class _Channel(BaseModel):
    """What all channels have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tenants: tuple[Name, ...] = Field((), description="Only requests of these tenants.", examples=[["acme"]])
    events: tuple[Literal["opened", "resolved"], ...] = Field(
        ("opened",), min_length=1, description="Told when a request waits, or also when it is settled."
    )
    kinds: tuple[ApprovalKind, ...] = Field(get_args(ApprovalKind), min_length=1, description="Of which requests.")
    allow_internal: bool = Field(
        False,
        description="The host may have a private or loopback address. A link-local one is refused all the same.",
    )
    ca_file: Path | None = Field(
        None, description="PEM bundle that the host's certificate must verify with, instead of the system's."
    )


class WebhookOptions(_Channel):
    """A POST that is signed as Standard Webhooks says."""

    kind: Literal["webhook"] = Field("webhook", description="What the channel is.")
    url: str = Field(description="Where to. It holds no secret.", examples=["https://hooks.acme.example/approvals"])
    secret: str = Field(
        description="file:PATH or vault:PATH#KEY of the signing secret: whsec_ and 24 to 64 bytes as base64.",
        examples=["file:secrets/webhook.key"],
        json_schema_extra=_SECRET,
    )

    @field_validator("url")
    @classmethod
    def _is_a_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or "@" in url:
            raise ValueError("must be a URL with a host, without user, query and fragment")
        return url

    @model_validator(mode="after")
    def _is_private(self) -> Self:
        if urlsplit(self.url).scheme != "https" and not self.allow_internal:
            raise ValueError("`url` must be https; plain http only with allow_internal")
        return self


class ChatOptions(_Channel):
    """An incoming webhook of Slack or Microsoft Teams. Its URL is a secret, for whoever has it may post."""

    kind: Literal["slack", "teams"] = Field(description="What the channel is.", examples=["slack"])
    host: Name = Field(description="The URL's host, and its port if it is not 443.", examples=["hooks.slack.com"])
    url: str = Field(
        description="file:PATH or vault:PATH#KEY of the URL.",
        examples=["file:secrets/slack.url"],
        json_schema_extra=_SECRET,
    )


class MailOptions(_Channel):
    """Mail to whoever could fill a seat and has an address in the directory; to the subject where it is its turn."""

    kind: Literal["smtp"] = Field("smtp", description="What the channel is.")
    host: Name = Field(description="The mail server.", examples=["smtp.acme.example"])
    port: int = Field(587, ge=1, le=65_535, description="Its port.")
    security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="`none` sends in clear: without user, and only with allow_internal."
    )
    sender: Address = Field(description="Whom it is from.", examples=["approvals@acme.example"])
    user: str = Field("", max_length=256, description="Who signs in; nobody when empty.", examples=["approvals"])
    password: str = Field(
        "",
        description="file:PATH or vault:PATH#KEY of the password, with user.",
        examples=["file:secrets/smtp.password"],
        json_schema_extra=_SECRET,
    )

    @model_validator(mode="after")
    def _keeps_its_password(self) -> Self:
        if bool(self.user) != bool(self.password):
            raise ValueError("`user` and `password` go together")
        if self.security == "none" and (self.user or not self.allow_internal):
            raise ValueError("`security: none` is without user, and only with allow_internal")
        return self


ChannelOptions = Annotated[WebhookOptions | ChatOptions | MailOptions, Field(discriminator="kind")]
