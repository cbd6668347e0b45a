"""Every setting in force: its value, where it comes from, and what it means. Secrets are never shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pdp.config.model import is_secret, keys, shape
from pdp.config.origins import Origins

REFERENCES = ("file:", "vault:")
HIDDEN = "(not shown: a secret must be given as file:PATH or vault:PATH#KEY)"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting in force. `value` is JSON, fit to be shown."""

    path: str
    value: Any
    origin: str
    meaning: str

    def fact(self) -> dict[str, Any]:
        """For machines."""
        return {"path": self.path, "value": self.value, "origin": self.origin, "meaning": self.meaning}

    def text(self) -> str:
        """For people: two lines."""
        shown = self.value if self.value == HIDDEN else json.dumps(self.value, ensure_ascii=False)
        return f"{self.path} = {shown}\n    {self.origin}: {self.meaning}"


def explain(settings: BaseModel, origins: Origins) -> Iterator[Setting]:
    """Every setting of `settings`, in the order in which the models declare them."""
    yield from _section(settings, (), origins)


def _section(found: BaseModel, above: tuple[str, ...], origins: Origins) -> Iterator[Setting]:
    for name, field in keys(type(found)):
        yield from _key(getattr(found, name), (*above, name), field, origins)


def _key(value: Any, path: tuple[str, ...], field: FieldInfo, origins: Origins) -> Iterator[Setting]:
    if isinstance(value, BaseModel):
        yield from _section(value, path, origins)
        return
    items: Sequence[tuple[object, Any]] = ()
    if shape(field.annotation).holds == "map" and isinstance(value, Mapping):
        items = list(value.items())
    elif shape(field.annotation).holds == "list":
        items = list(enumerate(value))
    if items:
        for name, item in items:
            yield from _section(item, (*path, str(name)), origins)
        return
    shown = HIDDEN if is_secret(field) and value and not str(value).startswith(REFERENCES) else _json(value)
    yield Setting(".".join(path), shown, origins.of(path), field.description or "")


def _json(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _json(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((_json(inner) for inner in value), key=str)
    if isinstance(value, tuple | list):
        return [_json(inner) for inner in value]
    return value
