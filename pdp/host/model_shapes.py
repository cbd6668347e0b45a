"""Shapes of pydantic models: the type of a key, and the valid keys at the place of a problem."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

Model: TypeAlias = type[BaseModel]
Location: TypeAlias = tuple[int | str, ...]  # as pydantic names a place
MAPS = (dict, Mapping)


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


def walk(loc: Location, root: Model) -> tuple[list[str], tuple[tuple[str, ...], str] | None, list[str]]:
    """The path without names of forms; the form (section and its name), if any; the valid keys at the path's end."""
    path: list[str] = []
    names: list[str] = []
    form: tuple[tuple[str, ...], str] | None = None
    models: tuple[Model, ...] = (root,)
    item = False  # the next part is an index, or a key of the user's choice
    for part in loc:
        named = [m for m in models if m.__name__ == part]
        if len(models) > 1 and named and not item:
            form, models = (tuple(path), str(part)), (named[0],)
            continue
        if item:
            item, names = False, []
        else:
            names = sorted({name for model in models for name in model.model_fields})
            models, item = _below(models, part)
        path.append(str(part))
    return path, form, names


def _below(models: tuple[Model, ...], part: int | str) -> tuple[tuple[Model, ...], bool]:
    fields: list[Any] = [m.model_fields[part] for m in models if isinstance(part, str) and part in m.model_fields]
    if not fields:
        return (), False
    key_shape = shape(fields[0].annotation)
    return key_shape.models, key_shape.holds in ("list", "map")


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
