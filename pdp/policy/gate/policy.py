"""The whole policy as the gate walks it: rules by package and name, and what each was found to read and use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from pdp.core.policy import Bundle
from pdp.policy.gate.builtins import Builtins
from pdp.policy.gate.report import Finding
from pdp.policy.gate.syntax import Body, Rule, Unit
from pdp.policy.gate.value import Parameter, Schema, Unknown, Value

CONTRACT = ("meta", "allow", "hide", "deny", "require", "oblige", "label")
Key: TypeAlias = "tuple[tuple[str, ...], str]"  # package, rule name


@dataclass(frozen=True, slots=True)
class Read:
    """One read of the input. `reader` and `phase` are the schema's annotations along the path."""

    label: str
    unit: Unit
    span: Body
    phase: str
    trust: str
    readers: str


@dataclass(frozen=True, slots=True)
class Use:
    """One rule or function used by another; `short` when by its bare name."""

    key: Key
    unit: Unit
    span: Body
    short: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """A value that a function compares one of its parameters with, or has in the place of one."""

    parameter: Parameter
    value: Value
    unit: Unit
    span: Body


@dataclass(frozen=True, slots=True)
class Named:
    """Something of the registry that a rule names: a `server`, a `tool`, the `key` of a target, or an `argument`."""

    kind: str
    value: Value
    unit: Unit
    span: Body


@dataclass(frozen=True, slots=True)
class Needed:
    """The types that a parameter must have wherever its function is called; or else the finding."""

    parameter: Parameter
    types: frozenset[str]
    finding: Finding


@dataclass(slots=True)
class Analysis:
    """What walking one rule (all its definitions) found."""

    value: Value = field(default_factory=Unknown)
    reads: list[Read] = field(default_factory=list)
    uses: list[Use] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    lost: list[Finding] = field(default_factory=list)  # input read in a way that cannot be followed
    heads: list[tuple[Rule, Value]] = field(default_factory=list)  # elements of a set, by definition
    calls: list[tuple[Key, tuple[Value, ...]]] = field(default_factory=list)  # functions, and what they are handed
    expected: list[Expected] = field(default_factory=list)
    named: list[Named] = field(default_factory=list)
    needed: list[Needed] = field(default_factory=list)


@dataclass(slots=True)
class Policy:
    """Everything the walk needs."""

    units: list[Unit]
    input_schema: Schema
    org_schema: Schema
    builtins: Builtins
    groups: dict[Key, list[Rule]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for unit in self.units:
            for rule in unit.rules:
                self.groups.setdefault((unit.package, rule.name), []).append(rule)

    @classmethod
    def of(cls, bundle: Bundle, units: list[Unit], capabilities: Path) -> Policy:
        """The policy without its tests."""
        return cls(
            [unit for unit in units if not unit.module.is_test],
            json.loads(bundle.input_schema),
            json.loads(bundle.org_schema),
            Builtins.read(capabilities),
        )

    def names(self, package: tuple[str, ...]) -> list[str]:
        """Rule names of a package."""
        return [name for found, name in self.groups if found == package]

    def library(self, path: tuple[str, ...]) -> tuple[Key, tuple[str, ...]] | None:
        """Resolve `data.` + path to a rule: its key and the steps that go on from there."""
        for cut in range(len(path) - 1, 0, -1):
            key = (path[:cut], path[cut])
            if key in self.groups:
                return key, path[cut + 1 :]
        return None

    def packages(self) -> set[tuple[str, ...]]:
        return {unit.package for unit in self.units}


def is_pack(unit: Unit) -> bool:
    """Whether a file is part of a pack (ours or an organisation's)."""
    return unit.package[:1] == ("packs",)


def closure(start: Key, analyses: Mapping[Key, Analysis]) -> dict[Key, tuple[Key, ...]]:
    """Every rule that `start` rests on, each with the way there."""
    found: dict[Key, tuple[Key, ...]] = {start: (start,)}
    pending = [start]
    while pending:
        key = pending.pop()
        for use in analyses[key].uses if key in analyses else ():
            if use.key not in found:
                found[use.key] = (*found[key], use.key)
                pending.append(use.key)
    return found


def chain(way: Iterable[Key]) -> str:
    """`allow, by way of may_write` as words."""
    names = [name for _, name in way]
    return f"`{names[0]}`" + (f" (by way of `{'`, `'.join(names[1:])}`)" if len(names) > 1 else "")
