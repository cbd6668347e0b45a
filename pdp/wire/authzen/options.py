"""Configuration of AuthZEN (`authzen.*`)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from pdp.host.options import ListenerOptions, Options, url_problem

Name = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x20\x7f]+$")]
STANDING = frozenset({"iss", "sub", "aud", "exp", "nbf", "iat", "cnf", "client_id", "azp"})  # never from a body


class SubjectTypeOptions(Options):
    """The people or services behind one type of subject."""

    issuer: Name = Field(
        description="Issuer of their ids, listed in `may_assert.claims` of the callers that may name them.",
        examples=["https://id.acme.example"],
    )
    claims: tuple[Name, ...] = Field(
        (),
        description="Properties that are read as claims of this name, as a token would state them.",
        examples=[["groups", "acr"]],
    )

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if standing := sorted(STANDING.intersection(self.claims)):
            raise ValueError(f"`claims`: {standing[0]} does not come from a body; leave it out")
        return self


class DraftOptions(Options):
    """Drafts that AuthZEN 1.0 is extended by. Each has a switch of its own; a draft may change, and this with it."""

    obligations: tuple[Name, ...] = Field(
        (),
        max_length=64,
        description="Kinds of obligations that answers may carry, by the obligations profile; none: a permit has "
        "none, and what would oblige the caller is denied.",
        examples=[["watermark"]],
    )
    access_requests: bool = Field(
        default=False,
        description="Whether the denial of a question that people were asked about says so, and how its caller "
        "learns what they answer, by the access request profile (ARAP). Needs `authzen.url`.",
    )
    mcp: bool = Field(
        default=False,
        description="Whether questions about requests of MCP are decided as such, by the MCP binding (COAZ-MCP); "
        "else they are operations like any other.",
    )


class AuthzenOptions(ListenerOptions):
    """What callers may ask by AuthZEN 1.0."""

    client_ca_file: Path | None = Field(
        None, description="PEM of who signs callers' certificates; a caller without one shows its token."
    )
    url: str | None = Field(
        None,
        description="Where callers reach it, https, without a slash at the end: what the metadata says. Without it "
        "there is no metadata.",
        examples=["https://pdp.acme.example"],
    )
    grpc: bool = Field(
        default=False,
        description="Whether it is also asked by gRPC: `authzen.access.v1.Access`, at the addresses of `server`.",
    )
    server: Name = Field(
        description="Id of the registered server whose operations are asked for.", examples=["records"]
    )
    servers: dict[Name, Name] = Field(
        default_factory=dict,
        description="Other servers, by type of resource.",
        examples=[{"invoice": "billing"}],
    )
    subjects: dict[Name, SubjectTypeOptions] = Field(
        default_factory=dict,
        description="Types of subjects; one of any other type is nobody, and denied.",
        examples=["user"],
    )
    context: bool = Field(
        default=False,
        description="Whether answers carry a `context`: the decision's id, and of a denial its code. Some callers "
        "take any context for an error.",
    )
    search_candidates: int = Field(
        0,
        ge=0,
        le=1_000,
        description="Candidates that one page of a search looks at; 0: there are no searches. Searches tell who may "
        "do what.",
    )
    drafts: DraftOptions = Field(
        default_factory=DraftOptions, description="Drafts beyond AuthZEN 1.0 that are spoken here."
    )
    max_body_bytes: int = Field(262_144, ge=1 << 10, le=4 << 20, description="Of a request.")
    budget_ms: int = Field(5_000, ge=20, le=50_000, description="A request is answered within this.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.client_ca_file is not None and self.certificate_file is None:
            raise ValueError("client_ca_file goes with certificate_file and key_file")
        if self.url is not None and (problem := _no_base(self.url)):
            raise ValueError(f"url {problem}")
        if self.drafts.access_requests and self.url is None:
            raise ValueError("drafts.access_requests needs url: answers say where to ask on")
        return self

    def server_of(self, resource_type: str) -> str:
        """The registered server that has a type of resource."""
        return self.servers.get(resource_type, self.server)


def _no_base(url: str) -> str:
    if "?" in url or url.endswith("/") or not url.isascii():
        return "has no query and no slash at its end"
    return url_problem(url)
