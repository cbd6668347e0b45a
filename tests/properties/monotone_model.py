"""The composition as first-order formulas, for any number of packs and elements: written by hand from `rego/pdp`.

An element stands for a pack and what it says. With the same evidence, checks and waivers, each element has one state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import z3

KINDS = ("allow", "hide", "deny", "require", "oblige")
ELEMENT = z3.DeclareSort("element")
OPEN, MET, REFUSED, FAILED = "open", "met", "refused", "failed"
STATES = (OPEN, MET, REFUSED, FAILED)  # evidence.rego: of each element exactly one


def _predicate(name: str, places: int = 1) -> Any:
    return z3.Function(name, *[ELEMENT] * places, z3.BoolSort())


IS = {state: _predicate(state) for state in STATES}
OTHERWISE = _predicate("is the otherwise of", 2)
HAS_OTHERWISE = _predicate("has otherwise")
WAIVED, CONFORMS, REACHES = _predicate("waived"), _predicate("conforms"), _predicate("reaches")
CLASHES = _predicate("clashes", 2)
GATE, CALL_CHECKS, OFFERED = z3.Bools("gate call_checks offered")
_E = z3.Const("e", ELEMENT)
ONE_STATE = z3.ForAll([_E], z3.PbEq([(IS[state](_E), 1) for state in STATES], 1))


def exists(formula: Any, number: int = 1) -> Any:
    names = [z3.FreshConst(ELEMENT) for _ in range(number)]
    return z3.Exists(names, formula(*names))


@dataclass(frozen=True)
class Side:
    """What one policy says, and what becomes of it."""

    says: dict[str, Any]
    allowed: Any
    pending: Any
    permitted: Any
    malformed: Any
    wanted: Any  # of an element

    @classmethod
    def of(cls, name: str) -> Side:
        says = {kind: _predicate(f"{kind} {name}") for kind in KINDS}

        def first(e: Any) -> Any:
            return z3.And(says["require"](e), z3.Not(WAIVED(e)))

        def second(e: Any) -> Any:
            return exists(lambda r: z3.And(first(r), HAS_OTHERWISE(r), IS[FAILED](r), OTHERWISE(e, r)))

        def wanted(e: Any) -> Any:
            return z3.Or(first(e), second(e))

        def settled(e: Any) -> Any:
            """Of what is wanted. One that failed is settled by being replaced."""
            return z3.Or(IS[MET](e), z3.And(first(e), HAS_OTHERWISE(e), IS[FAILED](e)))

        malformed = exists(lambda e: z3.And(z3.Or(*[says[kind](e) for kind in KINDS]), z3.Not(CONFORMS(e))))
        granted = exists(lambda e: z3.And(says["allow"](e), REACHES(e)))
        hidden = exists(lambda e: z3.And(says["hide"](e), z3.Not(WAIVED(e))))
        denied = exists(lambda e: z3.And(says["deny"](e), z3.Not(WAIVED(e))))
        clash = exists(lambda e, f: z3.And(says["oblige"](e), says["oblige"](f), CLASHES(e, f)), 2)
        blocked = z3.Or(
            exists(lambda e: z3.And(wanted(e), IS[REFUSED](e))),
            exists(lambda e: z3.And(first(e), z3.Not(HAS_OTHERWISE(e)), IS[FAILED](e))),
            exists(lambda e: z3.And(second(e), IS[FAILED](e))),
        )
        permitted = z3.And(
            GATE, CALL_CHECKS, OFFERED, z3.Not(malformed), granted, z3.Not(hidden), z3.Not(denied), z3.Not(clash),
            z3.Not(blocked),
        )  # fmt: skip
        e = z3.FreshConst(ELEMENT)
        allowed = z3.And(permitted, z3.ForAll([e], z3.Implies(wanted(e), settled(e))))
        pending = z3.And(permitted, z3.Not(allowed), exists(lambda r: z3.And(wanted(r), IS[OPEN](r))))
        return cls(says, allowed, pending, permitted, malformed, wanted)


def no_less(old: Side, new: Side, kind: str) -> Any:
    """The condition on one kind: NEW grants no more, and says no less of any other."""
    e = z3.FreshConst(ELEMENT)
    fewer, more = (new, old) if kind == "allow" else (old, new)
    return z3.ForAll([e], z3.Implies(fewer.says[kind](e), more.says[kind](e)))


def refuted(*formulas: Any) -> bool:
    """Whether all of them can hold at once."""
    solver = z3.Solver()
    solver.set("timeout", 60_000)
    solver.add(ONE_STATE, *formulas)
    answer = solver.check()
    assert answer != z3.unknown
    return bool(answer == z3.sat)
