"""What the packs of a bundle read of the input, so that exact results of their evaluation can be kept.

Every way to the input begins with the word `input`, or with an import of a part of it; so what is read is found in
the text, and what else the gate knows of values does not matter. An instant that is only compared with values that
the bundle fixes is known by its place among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pdp.core.digest import INT64_MAX, INT64_MIN, Json
from pdp.core.policy import INSTANTS, Reads
from pdp.policy.gate.flow import Analyses
from pdp.policy.gate.policy import Analysis, ComparedInstant, Policy
from pdp.policy.gate.syntax import REFERENCES, Unit, flatten, kind, span_of, trees, walk

_EXACT = 2**53  # numbers with a fraction below it compare exactly with whole ones
_Read = tuple[tuple[str, ...], Unit, int]  # a path, and where it stands


def reads(policy: Policy, org: Json) -> Reads:
    """What packs, and the library, read; `org` is what `data.org` holds."""
    units = [unit for unit in policy.units if not unit.module.composes]
    found = [read for unit in units for read in _of(unit)]
    compared = _compared(Analyses(policy).all().values())
    instants: dict[str, tuple[float, ...]] = {}
    # `with` may put anything in the place of what an instant is compared with
    replaced = any(node.get("with_mods") for unit in units for rule in unit.rules for node in walk(trees(rule)))
    for name in () if replaced else INSTANTS:
        there = [compared.get((id(unit), start)) for path, unit, start in found if path == ("time", name)]
        bounds = _bounds(there, org) if there else None
        if bounds is not None:
            instants[name] = bounds
    paths = {path for path, _, _ in found if path[:1] != ("time",) or path[1:] not in {(name,) for name in instants}}
    return Reads(tuple(sorted(path for path in paths if not _below(path, paths))), tuple(instants.items()))


def _below(path: tuple[str, ...], paths: set[tuple[str, ...]]) -> bool:
    """Whether a part of the path is read as well."""
    return any(path[:length] in paths for length in range(len(path)))


def _of(unit: Unit) -> Iterator[_Read]:
    for path, _ in unit.imports.values():
        if path[0] == "input":
            yield path[1:], unit, -1
    for rule in unit.rules:
        yield from _under([*trees(rule), rule.params], unit)


def _under(tree: object, unit: Unit) -> Iterator[_Read]:
    """Every read in a tree: the path up to the first step that is computed."""
    if isinstance(tree, list | tuple):
        for inner in tree:
            yield from _under(inner, unit)
    elif isinstance(tree, dict) and len(tree) == 1 and set(tree) <= REFERENCES:
        base, steps = flatten(tree)
        literal = next((index for index, (step, _) in enumerate(steps) if not isinstance(step, str)), len(steps))
        name, body = kind(base)
        if name == "Var" and body["value"] == "input":
            yield tuple(str(step) for step, _ in steps[:literal]), unit, int(span_of(tree)["start"])
        elif name != "Var":
            yield from _under(base, unit)
        yield from _under([step for step, _ in steps if not isinstance(step, str)], unit)
    elif isinstance(tree, dict):
        yield from _under(list(tree.values()), unit)


def _compared(analyses: Iterable[Analysis]) -> dict[tuple[int, int], list[ComparedInstant]]:
    """The comparisons of each mention of an instant, by where it stands."""
    found: dict[tuple[int, int], list[ComparedInstant]] = {}
    for analysis in analyses:
        for each in analysis.instants:
            found.setdefault((id(each.unit), each.start), []).append(each)
    return found


def _bounds(mentions: list[list[ComparedInstant] | None], org: Json) -> tuple[float, ...] | None:
    """The values that an instant is compared with, sorted; None where one of its mentions is anything else."""
    bounds: set[float] = set()
    for comparisons in mentions:
        for each in comparisons or (None,):
            if each is None or each.values is None:
                return None
            bounds |= each.values
            if each.by_org:
                bounds |= set(_numbers(org))
    exact = all(
        INT64_MIN <= bound <= INT64_MAX if isinstance(bound, int) else abs(bound) < _EXACT for bound in bounds
    )
    return tuple(sorted(bounds)) if exact else None  # engines may round what is not


def _numbers(value: Json) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
