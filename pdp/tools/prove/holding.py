"""What makes formulas hold in a model: a few of their atoms, whatever the others are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import z3

About: TypeAlias = "frozenset[tuple[int, int]]"  # texts with predicates that are said of them, or 0
_NOTHING: About = frozenset()
_ALL = {z3.Z3_OP_AND: True, z3.Z3_OP_OR: False}  # which of the two rests on all parts


class Implicants:
    """What formulas over `atoms` rest on in a model; of each atom it is known what it is about."""

    def __init__(self, atoms: Mapping[int, About]) -> None:
        self._atoms = atoms
        self._about: dict[int, tuple[Any, About]] = {}  # parts are kept, for identities to stay

    def about(self, part: Any) -> About:
        """All that a part is about."""
        key = part.get_id()
        if key not in self._about:
            known = self._atoms.get(key)
            self._about[key] = part, _NOTHING.union(*map(self.about, part.children())) if known is None else known
        return self._about[key][1]

    def holding(self, formulas: Iterable[Any], model: Any) -> About:
        """What makes them hold in a model. Of parts of which one is enough, it is one that is about least."""
        needed: set[tuple[int, int]] = set()
        seen: set[tuple[int, bool]] = set()
        left = [(formula, True) for formula in formulas]
        while left:
            part, holds = left.pop()
            if (part.get_id(), holds) not in seen:
                seen.add((part.get_id(), holds))
                needs = self._needs(part, model, holds=holds) if self.about(part) else []
                left += needs or []
                needed |= _NOTHING if needs is not None else self.about(part)
        return frozenset(needed)

    def _needs(self, part: Any, model: Any, *, holds: bool) -> list[tuple[Any, bool]] | None:
        """The parts that make a part hold, or fail; None where all of it may."""
        if part.get_id() in self._atoms:
            return None
        kind, parts = part.decl().kind(), part.children()
        if kind == z3.Z3_OP_NOT:
            return [(parts[0], not holds)]
        if kind == z3.Z3_OP_IMPLIES:
            kind, parts = z3.Z3_OP_OR, [z3.Not(parts[0]), parts[1]]
        if kind not in _ALL:
            return None
        if _ALL[kind] is holds:
            return [(each, holds) for each in parts]
        least = sorted(parts, key=lambda each: len(self.about(each)))
        wanted = z3.is_true if holds else z3.is_false
        return next(([(each, holds)] for each in least if wanted(model.eval(each, model_completion=True))), None)
