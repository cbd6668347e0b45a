"""The settings in words: what the models' keys hold, and the values in force. Secrets are never shown.

`example.yaml` shows every key, `descriptions.toml` says what each means, by its model; `make generated` writes them.
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pdp.core.tables import tables
from pdp.runtime.config.sources import Origins

Model: TypeAlias = type[BaseModel]
EXAMPLE = Path(__file__).with_name("example.yaml")
DESCRIPTIONS = Path(__file__).with_name("descriptions.toml")


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of a configuration key. `holds` is `value`, `section` (a mapping with fixed keys), `list` or `map` (of
    sections); of several `models` a section is one."""

    holds: str
    models: tuple[Model, ...] = ()


def shape(annotation: Any) -> Shape:
    """The shape of a key of this type."""
    outer = bare(annotation)
    parts = [bare(part) for part in members(outer)]
    models = tuple(part for part in parts if _is_model(part))
    if models:
        return Shape("section", models)
    for part in parts:
        inner = item_of(part)
        models_below = tuple(m for m in map(bare, members(bare(inner))) if _is_model(m))
        if models_below:
            return Shape("map" if get_origin(part) in MAPS else "list", models_below)
    return Shape("value")


def is_secret(field: FieldInfo) -> bool:
    """Whether the key holds a reference to a secret; any other value of it must not be shown."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("secret") is True


MAPS = (dict, Mapping)


def bare(annotation: Any) -> Any:
    """The type without its bounds."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def members(annotation: Any) -> list[Any]:
    """The members of a union, without None; or the type itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for part in get_args(annotation) if part is not type(None)]
    return [annotation]


def item_of(annotation: Any) -> Any:
    """The type of the items of a list or mapping; None for anything else."""
    arguments = [part for part in get_args(annotation) if part is not Ellipsis]
    return arguments[-1] if arguments and get_origin(annotation) in (*MAPS, tuple, list, set, frozenset) else None


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def plain(value: Any) -> Any:
    """A value as YAML and JSON have it."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, frozenset | set):
        return sorted((plain(inner) for inner in value), key=str)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return value


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
        """As JSON."""
        return {"path": self.path, "value": self.value, "origin": self.origin, "meaning": self.meaning}

    def text(self) -> str:
        """As text: two lines."""
        shown = self.value if self.value == HIDDEN else json.dumps(self.value, ensure_ascii=False)
        return f"{self.path} = {shown}\n    {self.origin}: {self.meaning}"


def explain(settings: BaseModel, origins: Origins) -> Iterator[Setting]:
    """Every setting of `settings`, in the order in which the models declare them."""
    yield from _in_force(settings, (), origins)


def _in_force(section: BaseModel, above: tuple[str, ...], origins: Origins) -> Iterator[Setting]:
    meanings = tables(__file__, DESCRIPTIONS.name).get(type(section).__name__, {})
    for name, field in type(section).model_fields.items():
        yield from _setting(getattr(section, name), (*above, name), field, meanings.get(name, ""), origins)


def _setting(
    value: Any, path: tuple[str, ...], field: FieldInfo, meaning: str, origins: Origins
) -> Iterator[Setting]:
    if isinstance(value, BaseModel):
        yield from _in_force(value, path, origins)
        return
    items: Sequence[tuple[object, Any]] = ()
    if shape(field.annotation).holds == "map" and isinstance(value, Mapping):
        items = list(value.items())
    elif shape(field.annotation).holds == "list":
        items = list(enumerate(value))
    if items:
        for name, item in items:
            yield from _in_force(item, (*path, str(name)), origins)
        return
    shown = HIDDEN if is_secret(field) and value and not str(value).startswith(REFERENCES) else plain(value)
    yield Setting(".".join(path), shown, origins.of(path), meaning)
