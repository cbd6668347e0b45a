"""Manifests (`pdp.manifest/1`), and the value types that all registry documents share.

A manifest holds one tool's pinned definition and its review. It lies in `manifests/<sha256>.json`, in canonical
bytes, named by their digest; the signed set index names that digest, so a manifest needs no signature of its own.
Instants are RFC 3339, UTC, whole seconds, in one spelling only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pdp.core.check import NS
from pdp.core.digest import Json, canonical, digest, sha256_hex
from pdp.core.errors import InvalidRequest, RegistryFault
from pdp.core.facts import Annotations, Sink
from pdp.core.strict_json import parse_object

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


@lru_cache(maxsize=4096)
def parse_ns(text: str) -> int:
    """Unix nanoseconds. Raises ValueError for anything but `YYYY-MM-DDTHH:MM:SSZ`."""
    if not _SHAPE.match(text):
        raise ValueError("is not an instant like 2030-01-31T00:00:00Z")
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("is not an instant like 2030-01-31T00:00:00Z") from None
    return ((at - _EPOCH) // timedelta(seconds=1)) * NS


def render(at_ns: int) -> str:
    """The instant, rounded down to the second."""
    return (_EPOCH + timedelta(seconds=at_ns // NS)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _checked(text: str) -> str:
    parse_ns(text)
    return text


RFC3339 = Annotated[str, AfterValidator(_checked)]


SCHEMA = "pdp.manifest/1"
MAX_BYTES = 1_048_576
MAX_DEPTH = 64
MODEL_FIELDS = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")

Word = Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_./:@-]+$")]
ServerId = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Risk = Literal["low", "medium", "high", "critical"]
DefinitionCheck = Literal["presented", "watched", "none"]
SinkKind = Literal["network", "email", "message", "filesystem", "process", "database", "other"]


class Closed(BaseModel):
    """A closed, strict, immutable document."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SinkEntry(Closed):
    """The destination of an argument; `argument` is a JSON Pointer, empty for the tool as a whole."""

    kind: SinkKind
    argument: str = Field(default="", max_length=256, pattern=r"^(/([^~/]|~[01])*)*$")


class Hints(Closed):
    """Effective behaviour hints."""

    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool

    def fact(self) -> Annotations:
        return Annotations(self.read_only, self.destructive, self.idempotent, self.open_world)


class Manifest(Closed):
    """One pinned tool."""

    schema_: Literal["pdp.manifest/1"] = Field(alias="schema")
    tenant: Name
    server: ServerId
    name: Name
    definition: dict[str, Any]  # the whole object of tools/list, without `_meta`
    definition_sha256: Digest
    version: Word
    risk: Risk
    permissions: list[Word]
    labels: list[Word]
    sinks: list[SinkEntry]
    annotations: Hints
    definition_check: DefinitionCheck
    owner: Word
    cost: int = Field(ge=0, le=2**53 - 1)
    reviewed_by: Word | None = None
    pinned: RFC3339

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        if "_meta" in self.definition:
            raise ValueError("definition holds `_meta`, which is no part of what is pinned")
        if self.definition.get("name") != self.name:
            raise ValueError("definition.name is another name than the manifest's")
        if not isinstance(self.definition.get("inputSchema"), Mapping):
            raise ValueError("definition.inputSchema is not an object")  # noqa: TRY004 - pydantic reports ValueError
        if digest(self.definition) != self.definition_sha256:
            raise ValueError("definition_sha256 is not the digest of definition")
        if worse(self.annotations, self.definition) != self.annotations:
            raise ValueError("annotations are milder than the server's own; a server may raise them")
        return self

    @property
    def input_schema(self) -> Mapping[str, Json]:
        schema: Mapping[str, Json] = self.definition["inputSchema"]
        return schema

    def sink_facts(self) -> tuple[Sink, ...]:
        return tuple(Sink(s.kind, s.argument) for s in self.sinks)

    def for_model(self) -> Mapping[str, Json]:
        """The definition with only the fields a model needs."""
        return {key: self.definition[key] for key in MODEL_FIELDS if key in self.definition}

    def encoded(self) -> bytes:
        """Canonical bytes."""
        return canonical(self.model_dump(mode="json", by_alias=True, exclude_none=True))

    def digest(self) -> str:
        """SHA-256 of the canonical bytes, hex: the file's name and what the index signs."""
        return sha256_hex(self.encoded())


def decode(raw: bytes) -> Manifest:
    """Read a manifest. Raises RegistryFault `tool.corrupt`, saying where; never a value."""
    try:
        value, _ = parse_object(raw, "manifest", max_bytes=MAX_BYTES, max_depth=MAX_DEPTH)
        if canonical(value) != raw:
            raise RegistryFault("tool.corrupt", "manifest: is not in canonical form; pin the tool again")
        return Manifest.model_validate(value)
    except InvalidRequest as error:
        raise RegistryFault("tool.corrupt", f"{error.message}; pin the tool again") from None
    except ValidationError as error:
        raise RegistryFault("tool.corrupt", f"manifest: {first_problem(error)}; pin the tool again") from None


def first_problem(error: ValidationError) -> str:
    """Place and text of pydantic's first error, without the input."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def without_meta(definition: Mapping[str, Json]) -> dict[str, Json]:
    """A tool's definition as it is pinned and compared: all of it but `_meta`."""
    return {key: value for key, value in definition.items() if key != "_meta"}


def worse(hints: Hints, definition: Mapping[str, Json]) -> Hints:
    """`hints` raised by what the server says of itself (MCP ToolAnnotations). A server never lowers anything."""
    stated = definition.get("annotations")
    listed: Mapping[str, Json] = stated if isinstance(stated, Mapping) else {}
    destructive = hints.destructive or listed.get("destructiveHint") is True
    return Hints(
        # a destructive tool is not read-only, even when it claims so
        read_only=hints.read_only and listed.get("readOnlyHint") is not False and not destructive,
        destructive=destructive,
        idempotent=hints.idempotent and listed.get("idempotentHint") is not False,
        open_world=hints.open_world or listed.get("openWorldHint") is True,
    )
