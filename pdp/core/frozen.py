"""Values that the type checker keeps from being changed, at the cost of plain objects.

A frozen dataclass sets each of its fields by a call, and one decision makes some thirty values of 250 fields. Who
changes a value is refused by `mypy --strict`, which every change of this repository has to pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(made: type[T]) -> type[T]:
    """A dataclass with slots, compared and hashed by its fields, that nobody changes."""
    return dataclass(slots=True, unsafe_hash=True)(made)
