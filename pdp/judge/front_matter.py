"""The head of a prompt file: its closed forms, and problems with the line on which they stand."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from pdp.core.digest import Json
from pdp.core.judge.prompt import Applies
from pdp.files import strict_yaml
from pdp.judge.problems import Problem

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Version = Annotated[str, Field(pattern=r"^[0-9A-Za-z][0-9A-Za-z.+-]{0,31}$")]
Pattern = Annotated[str, Field(pattern=r"^[A-Za-z0-9_./:@*-]{1,256}$")]
Patterns = Annotated[list[Pattern], Field(min_length=1)]
Tokens = Annotated[int, Field(ge=1, le=100_000)]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Settings(_Closed):
    """For the endpoint; what is left out is left to it."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_tokens: Annotated[int, Field(ge=64, le=32_768)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None


class Hints(_Closed):
    """Behaviour hints as the registry holds them, worst of server and reviewer."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class Way(_Closed):
    """One way for a section to apply. Every entry must hold; within an entry one value is enough."""

    servers: Patterns | None = None
    tools: Patterns | None = None
    risks: Annotated[list[Literal["low", "medium", "high", "critical"]], Field(min_length=1)] | None = None
    permissions: Patterns | None = None
    sinks: (
        Annotated[
            list[Literal["network", "email", "message", "filesystem", "process", "database", "other"]],
            Field(min_length=1),
        ]
        | None
    ) = None
    annotations: Hints | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Way:
        if not self.model_dump(exclude_none=True) or self.annotations == Hints():
            raise ValueError("says nothing; name servers, tools, risks, permissions, sinks or annotations")
        return self

    def value(self) -> Applies:
        return Applies(
            servers=tuple(self.servers or ()),
            tools=tuple(self.tools or ()),
            risks=tuple(self.risks or ()),
            permissions=tuple(self.permissions or ()),
            sinks=tuple(self.sinks or ()),
            annotations=self.annotations.model_dump(exclude_none=True) if self.annotations else {},
        )


class PromptHead(_Closed):
    """Of a base prompt."""

    id: Id
    version: Version
    settings: Settings = Settings()
    text_tokens: Tokens  # the text itself, without sections
    data_tokens: Tokens  # one matter; what is longer is cut

    def endpoint_settings(self) -> dict[str, Json]:
        return self.settings.model_dump(exclude_none=True)


class SectionHead(_Closed):
    """Of a section."""

    id: Id
    version: Version
    prompts: Annotated[list[Id], Field(min_length=1)] | None = None
    applies_to: Annotated[list[Way], Field(min_length=1)]
    text_tokens: Tokens


Head = TypeVar("Head", bound=PromptHead | SectionHead)
_HEAD = re.compile(r"---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)


def split(text: str) -> tuple[str, str] | None:
    """The head as YAML and the text below it. None where there is no head."""
    found = _HEAD.match(text)
    return None if found is None else (found[1], text[found.end() :])


def read_head(file: str, yaml: str, form: type[Head]) -> tuple[Head | None, list[Problem]]:
    """The head by its form, or what is wrong with it."""
    try:
        found: Any = strict_yaml.read(yaml)
    except strict_yaml.NotPlainYaml as error:
        return None, [
            Problem(file, (error.line or 0) + 1, "prompts.head", f"the head is no plain YAML: {error.what}.")
        ]
    try:
        return TypeAdapter(form).validate_python(found), []
    except ValidationError as error:
        return None, [_problem(file, yaml, each) for each in error.errors(include_input=False, include_url=False)]


def _problem(file: str, yaml: str, error: Any) -> Problem:
    """In the words of the form, at the line of its first key. Never a value."""
    path = [str(step) for step in error["loc"]]
    known = ", ".join(PromptHead.model_fields | SectionHead.model_fields)
    said = f"is not known; the head has {known}" if error["type"] == "extra_forbidden" else error["msg"]
    return Problem(file, line_of(yaml, path), "prompts.head", f"{'.'.join(path) or 'the head'}: {said}.")


def line_of(yaml: str, path: list[str]) -> int:
    """The line, in the file, of the deepest key of `path` that can be found in order below the ones before."""
    lines = yaml.splitlines()
    at = 0
    for step in path:
        found = (i for i in range(at, len(lines)) if re.match(rf"[\s-]*['\"]?{re.escape(step)}['\"]?\s*:", lines[i]))
        at = next(found, at)
    return at + 2  # the head begins on line 2
