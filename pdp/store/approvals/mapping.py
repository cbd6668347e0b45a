"""Between values and table rows. The fields of an account or call within a value become columns of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeAlias, TypeVar, get_type_hints

from pdp.core.approvals.rows import Account, Call

_NESTED = (Account, Call)
_Shape: TypeAlias = tuple[tuple[str, type[Any] | None], ...]  # fields; the type of one that is nested
_SHAPES: dict[type[Any], _Shape] = {}

T = TypeVar("T")


def to_row(value: object) -> dict[str, Any]:
    """The row of a value."""
    row: dict[str, Any] = {}
    for name, nested in _shape(type(value)):
        part = getattr(value, name)
        if nested is None:
            row[name] = part
        else:
            row.update({f"{name}_{inner}": each for inner, each in to_row(part).items()})
    return row


def from_row(kind: type[T], row: Mapping[Any, Any], prefix: str = "") -> T:
    """The value in a row; columns that no field has are left aside."""
    return kind(
        **{
            name: row[prefix + name] if nested is None else from_row(nested, row, f"{prefix}{name}_")
            for name, nested in _shape(kind)
        }
    )


def _shape(kind: type[Any]) -> _Shape:
    if kind not in _SHAPES:
        hints = get_type_hints(kind)
        _SHAPES[kind] = tuple((f.name, hints[f.name] if hints[f.name] in _NESTED else None) for f in fields(kind))
    return _SHAPES[kind]
