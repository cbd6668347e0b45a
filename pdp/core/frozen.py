"""Dataclasses that are frozen for the type checker only, at the cost of plain objects.

A frozen dataclass sets each field by a call, and one decision makes some thirty values of 250 fields. Assignments to
fields are refused by `mypy --strict`, which every change of this repository has to pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from typing_extensions import dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A dataclass with slots, compared and hashed by its fields; frozen for mypy."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
