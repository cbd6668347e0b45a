"""The configuration's models as people read them: keys with their types, bounds, defaults and descriptions.

Nothing here knows which models there are; whoever calls hands over the root.
"""

from __future__ import annotations

import enum
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Model: TypeAlias = type[BaseModel]
_WORDS: Mapping[object, str] = {int: "integer", float: "number", str: "text", bool: "true or false", Path: "path"}
_BOUNDS = (("ge", "at least {}"), ("gt", "above {}"), ("le", "at most {}"), ("lt", "below {}"))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a key holds. `holds` is `value`, `section` (a mapping with fixed keys), `list` or `map` (of sections); of
    several `models` a section is one."""

    holds: str
    models: tuple[Model, ...] = ()


def keys(model: Model) -> Iterator[tuple[str, FieldInfo]]:
    """The keys of a section, as declared."""
    yield from model.model_fields.items()


def shape(annotation: Any) -> Shape:
    """What a key of this type holds."""
    outer = _bare(annotation)
    parts = [_bare(part) for part in _members(outer)]
    models = tuple(part for part in parts if _is_model(part))
    if models:
        return Shape("section", models)
    for part in parts:
        inner = _item(part)
        found = tuple(m for m in map(_bare, _members(_bare(inner))) if _is_model(m))
        if found:
            return Shape("map" if get_origin(part) in _MAPS else "list", found)
    return Shape("value")


def kind(annotation: Any) -> str:
    """A value's type in words: `integer`, `one of a, b`, `list of text`."""
    found = _bare(annotation)
    if found in _WORDS:
        return _WORDS[found]
    choices = _choices(found)
    if choices:
        return f"one of {', '.join(choices)}"
    if get_origin(found) in _MAPS:
        name, value = get_args(found)
        return f"mapping of {kind(name)} to {kind(value)}"
    if get_origin(found) in (tuple, list, set, frozenset):
        return f"list of {kind(_item(found))}"
    return " or ".join(kind(part) for part in _members(found))


def bounds(field: FieldInfo) -> str:
    """What the value must keep to, beside its type: `at least 1, at most 256`."""
    found = []
    limits = {name: getattr(entry, name) for entry in field.metadata for name, _ in _BOUNDS if hasattr(entry, name)}
    found += [words.format(_plain(limits[name])) for name, words in _BOUNDS if limits.get(name) is not None]
    for entry in field.metadata:
        shortest, longest = getattr(entry, "min_length", None), getattr(entry, "max_length", None)
        unit = " characters" if _bare(field.annotation) is str else " items"
        found += [f"at least {_count(shortest, unit)}"] if shortest else []
        found += [f"at most {_count(longest, unit)}"] if longest else []
    return ", ".join(found)


def is_secret(field: FieldInfo) -> bool:
    """Whether the key refers to a secret, so that anything but a reference must not be shown."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and extra.get("secret") is True


_MAPS = (dict, Mapping)


def _bare(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> list[Any]:
    """The members of a union, without None; or the type itself."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for part in get_args(annotation) if part is not type(None)]
    return [annotation]


def _item(annotation: Any) -> Any:
    """The type of the items of a list or mapping; None for anything else."""
    found = [part for part in get_args(annotation) if part is not Ellipsis]
    return found[-1] if found and get_origin(annotation) in (*_MAPS, tuple, list, set, frozenset) else None


def _is_model(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, BaseModel)


def _choices(found: Any) -> list[str]:
    if get_origin(found) is Literal:
        return [str(choice) for choice in get_args(found)]
    if isinstance(found, type) and issubclass(found, enum.Enum):
        return [str(choice.value) for choice in found]
    return []


def _count(number: int, unit: str) -> str:
    return f"{number}{unit}" if number != 1 else f"1{unit.removesuffix('s')}"


def _plain(limit: object) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)
