"""What the gate knows about a value without running anything, and where in a schema it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Schema: TypeAlias = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Unknown:
    """Anything: a parameter, or the result of something the gate does not look into."""

    tainted: bool = False


@dataclass(frozen=True, slots=True)
class Scalar:
    """A computed value of a known type (`number`, `string`, `boolean`, `null`)."""

    type: str
    tainted: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A place in a schema. `label` is its path as people write it, with `[_]` for any item."""

    schema: Schema
    label: str

    @property
    def tainted(self) -> bool:
        return self.label.startswith("input.asserted")

    @property
    def types(self) -> frozenset[str]:
        types = self.schema.get("type")
        return frozenset(map(str, types)) if isinstance(types, list) else frozenset({str(types)})

    @property
    def open(self) -> bool:
        """Any member may be there: nothing to check a path against."""
        return self.schema.get("additionalProperties") is True

    @property
    def properties(self) -> Mapping[str, Schema]:
        found = self.schema.get("properties")
        return found if isinstance(found, dict) else {}

    @property
    def is_check(self) -> bool:
        """The status of a check: only `ok` passes."""
        enum = self.schema.get("enum")
        return self.label.endswith(".status") and isinstance(enum, list) and "ok" in enum


@dataclass(frozen=True, slots=True)
class Free:
    """Inside an open part of the input, for example an argument: any JSON, or nothing at all."""

    label: str

    @property
    def tainted(self) -> bool:
        return self.label.startswith("input.asserted")


@dataclass(frozen=True, slots=True)
class Items:
    """An array, a set, or the values of an object with computed keys."""

    item: Value
    tainted: bool = False
    keyed: bool = False


@dataclass(frozen=True, slots=True)
class Fields:
    """An object written out."""

    fields: tuple[tuple[str, Value], ...]

    @property
    def tainted(self) -> bool:
        return any(value.tainted for _, value in self.fields)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several."""

    options: tuple[Value, ...]

    @property
    def tainted(self) -> bool:
        return any(value.tainted for value in self.options)


Value: TypeAlias = "Unknown | Scalar | Place | Free | Items | Fields | AnyOf"
NUMBERS = frozenset({"integer", "number"})


def any_of(values: list[Value]) -> Value:
    """The union, flat and without repeats."""
    found: list[Value] = []
    for value in values:
        for option in value.options if isinstance(value, AnyOf) else (value,):
            if not any(same(option, other) for other in found):
                found.append(option)
    if not found:
        return Unknown()
    return found[0] if len(found) == 1 else AnyOf(tuple(found))


def same(one: Value, other: Value) -> bool:
    """Whether two values are the same; places are by their label."""
    if isinstance(one, Place) and isinstance(other, Place):
        return one.label == other.label
    return one == other


def options(value: Value) -> tuple[Value, ...]:
    """The values that a value may be."""
    return value.options if isinstance(value, AnyOf) else (value,)


def is_number(value: Value) -> bool:
    """Surely a number."""
    return all(
        (isinstance(o, Place) and o.types <= NUMBERS) or (isinstance(o, Scalar) and o.type == "number")
        for o in options(value)
    )


def is_collection(value: Value) -> bool:
    """Surely an array or a set."""
    return all(isinstance(o, Items) or (isinstance(o, Place) and o.types == {"array"}) for o in options(value))


def may_be_text(value: Value) -> bool:
    """Not surely a collection, a number or nothing."""
    return any(
        isinstance(o, Free | Unknown)
        or (isinstance(o, Place) and "string" in o.types)
        or (isinstance(o, Scalar) and o.type in ("string", "any"))
        for o in options(value)
    )


def holds_object(value: Value) -> bool:
    """Whether a field could be read from it later that the gate would then not check."""
    for option in options(value):
        if isinstance(option, Fields):
            return True
        if isinstance(option, Items) and holds_object(option.item):
            return True
        if isinstance(option, Place):
            if "object" in option.types and not option.open:
                return True
            items = option.schema.get("items")
            if isinstance(items, dict) and holds_object(Place(items, option.label + "[_]")):
                return True
    return False


def taint(value: Value, tainted: bool) -> Value:
    """`value`, marked as made from asserted facts when `tainted`."""
    if not tainted or value.tainted:
        return value
    if isinstance(value, Items):
        return Items(value.item, True, value.keyed)
    if isinstance(value, Scalar):
        return Scalar(value.type, True)
    if isinstance(value, AnyOf):
        return AnyOf(tuple(taint(o, True) for o in value.options))
    return Unknown(True)
