"""The signed documents: the set index (`pdp.set/1`, with prompts or resources `/2`) and the waivers
(`pdp.waivers/1`). Closed schemas."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from pdp.core.digest import canonical
from pdp.core.errors import InvalidRequest, RegistryFault
from pdp.core.facts import Waiver
from pdp.core.strict_json import parse_object
from pdp.registry.manifest import RFC3339, Closed, Digest, Name, Pinnable, ServerId, Word, first_problem, parse_ns

SET_SCHEMA, OTHER_SET_SCHEMA = "pdp.set/1", "pdp.set/2"  # of tools alone, and with prompts or resources
WAIVERS_SCHEMA = "pdp.waivers/1"
MAX_BYTES = 8 * 1024 * 1024

Resource = Annotated[str, Field(min_length=1, max_length=2048, pattern=r"^[A-Za-z][A-Za-z0-9+.-]*:[^\s#]+$")]
Serial = Annotated[int, Field(ge=1, le=2**53 - 1)]
State = Literal["active", "withdrawn", "quarantined"]


class ServerEntry(Closed):
    """A server. `resource` is the audience that tokens for it name (RFC 8707); `peer` is how it must
    prove itself to the caller (see `registry.peer`); in a form that is not known, the server is denied."""

    id: ServerId
    resource: Resource
    peer: Word | None = None
    owner: Word


class ToolEntry(Pinnable):
    """A tool, prompt or resource: which manifest holds, and whether it may be used."""

    manifest_sha256: Digest
    state: State


class _Signed(Closed):
    tenant: Name
    serial: Serial
    issued: RFC3339
    expires: RFC3339

    @cached_property
    def issued_ns(self) -> int:
        return parse_ns(self.issued)

    @cached_property
    def expires_ns(self) -> int:
        return parse_ns(self.expires)

    def encoded(self) -> bytes:
        """Canonical bytes: what is signed."""
        return canonical(self.model_dump(mode="json", by_alias=True, exclude_none=True))


class SetIndex(_Signed):
    """All servers and tools of one tenant; its prompts and resources stand among the tools."""

    schema_: Literal["pdp.set/1", "pdp.set/2"] = Field(alias="schema")
    servers: list[ServerEntry]
    tools: list[ToolEntry]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.expires_ns <= self.issued_ns:
            raise ValueError("expires is not after issued")
        ids = [server.id for server in self.servers]
        if len(ids) != len(set(ids)):
            raise ValueError("servers has the same id twice")
        if self.schema_ != set_schema(self.tools):
            raise ValueError(f"schema is {SET_SCHEMA} for tools alone, {OTHER_SET_SCHEMA} with prompts or resources")
        keys = [(tool.server, tool.label) for tool in self.tools]
        if len(keys) != len(set(keys)):
            raise ValueError("tools has the same (server, name) twice")
        if not {server for server, _ in keys} <= set(ids):
            raise ValueError("tools names a server that servers does not list")
        return self


def set_schema(tools: Iterable[ToolEntry]) -> Literal["pdp.set/1", "pdp.set/2"]:
    """The version of a set of these entries. One of tools alone keeps the first: older releases read it."""
    return "pdp.set/1" if all(tool.kind is None for tool in tools) else "pdp.set/2"


class WaiverEntry(Closed):
    """One waiver: which code on which server, who answers for it, why, until when."""

    id: Name
    code: Word
    server: ServerId
    owner: Word
    reason: Annotated[str, Field(min_length=1, max_length=2048)]
    expires: RFC3339

    def fact(self) -> Waiver:
        return Waiver(self.id, self.code, self.server, self.owner, self.reason, parse_ns(self.expires))


class WaiverSet(_Signed):
    """All waivers of one tenant."""

    schema_: Literal["pdp.waivers/1"] = Field(alias="schema")
    waivers: list[WaiverEntry]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.expires_ns <= self.issued_ns:
            raise ValueError("expires is not after issued")
        ids = [waiver.id for waiver in self.waivers]
        if len(ids) != len(set(ids)):
            raise ValueError("waivers has the same id twice")
        return self


_Document = TypeVar("_Document", SetIndex, WaiverSet)


def decode(raw: bytes, kind: type[_Document], what: str) -> _Document:
    """Read a payload strictly. Raises RegistryFault `registry.malformed`, saying where in `what`."""
    try:
        value, _ = parse_object(raw, what, max_bytes=MAX_BYTES)
        return kind.model_validate(value)
    except InvalidRequest as error:
        raise RegistryFault("registry.malformed", f"{error.message}; make it anew with `pdp tools`") from None
    except ValidationError as error:
        raise RegistryFault("registry.malformed", f"{what}: {first_problem(error)}; make it anew") from None
