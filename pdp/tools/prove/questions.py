"""What is asked about a change of policy: may a call now pass, or pass with less, that did not before?

The composition is monotone in the elements of packs (`tests/properties/test_monotone.py`): with the same checks,
evidence and waivers, a policy that grants no more, and hides, denies, requires, obliges and labels no less, lets
nothing through that the other did not. So packs are compared, for all facts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pdp.tools.prove.elements import Element, PackElements, Place
from pdp.tools.prove.facts import Facts
from pdp.tools.prove.terms import Guard, every, negated, some, term

Sides: TypeAlias = "tuple[PackElements, PackElements]"
Said: TypeAlias = "list[tuple[Element, Guard]]"
_ASSURANCES = ("client_asserted", "signed_in", "passkey")

PERMITTED, REQUIREMENT, OBLIGATION, LABEL, RESULT, FAILING, ASSERTED = (
    "permitted",
    "requirement",
    "obligation",
    "label",
    "result",
    "failing",
    "asserted",
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question: where `formula` can hold, what `kind` says may have happened. `lost` is OLD's element that no
    longer counts, with its places; `whole` is whether it stands for the questions after it, of the same kind."""

    kind: str
    formula: Guard
    lost: Element | None = None
    places: tuple[Place, ...] = ()
    whole: bool = False
    stronger: bool = False  # whether what NEW wants instead was taken for at least as strong


def questions(old: PackElements, new: PackElements, facts: Facts, *, asserted: bool) -> Iterator[Question]:
    """All questions: a whole one of each kind, then its parts."""
    result = facts.member(facts.member(facts.input, "result"), "status")
    of_call, of_result = result == term("missing"), result != term("missing")
    after = every(of_call, new.permitted())
    before = every(of_call, old.permitted())
    yield Question(PERMITTED, every(after, negated(old.permitted())), whole=True)
    for element, guard in old.of("hide", "deny"):
        if old.keeps(element, new):
            continue
        lost = every(after, guard, old.unwaived(element))
        yield Question(PERMITTED, lost, element, tuple(old.places[element]))
    yield Question(PERMITTED, every(after, negated(old.granted)))
    yield from _requirements(old, new, every(before, after))
    passed = every(of_result, new.passed())
    yield Question(RESULT, every(passed, negated(old.passed())))
    for phase, imposed in ((False, every(before, after)), (True, every(passed, old.passed()))):
        kept, keeping = (list(side.in_phase("oblige", result=phase)) for side in (old, new))
        yield from _kept(OBLIGATION, (old, new), kept, keeping, imposed)
    yield from _kept(LABEL, (old, new), list(old.of("label")), list(new.of("label")), of_result)
    for side in (old, new):
        yield from _failing(side)
    if asserted:
        yield from _granting(old, new)


def _failing(side: PackElements) -> Iterator[Question]:
    """Whether a rule ends in an error where the call may pass."""
    granted = every(side.granted, negated(side.hidden))
    for place, guard in side.failing:
        yield Question(FAILING, every(guard, granted), places=(place,))


def _granting(old: PackElements, new: PackElements) -> Iterator[Question]:
    """Where callers assert facts, an element grants that both evaluations say: so each is one of OLD's."""
    for element, guard in new.of("allow"):
        if not new.keeps(element, old):
            yield Question(ASSERTED, every(guard, negated(old.said(element))), element, tuple(new.places[element]))


def _requirements(old: PackElements, new: PackElements, both: Guard) -> Iterator[Question]:
    """For each of OLD's, whether NEW wants it; else, whether NEW wants one that is at least as strong."""
    for element, guard in old.of("require"):
        if old.keeps(element, new):
            continue
        wanted = every(both, guard, old.unwaived(element))
        same = every(new.said(element), new.unwaived(element))
        places = tuple(old.places[element])
        yield Question(REQUIREMENT, every(wanted, negated(same)), element, places, whole=True)
        strong = [
            every(g, new.unwaived(other))
            for other, g in new.of("require")
            if other == element or at_least(other, element)
        ]
        yield Question(REQUIREMENT, every(wanted, negated(some(*strong))), element, places, stronger=True)


def _kept(kind: str, sides: Sides, before: Said, after: Said, where: Guard) -> Iterator[Question]:
    """Each of OLD's obligations, or labels, is one of NEW's."""
    old, new = sides
    for element, guard in before:
        if old.keeps(element, new) and any(other == element for other, _ in after):
            continue
        same = [g for other, g in after if other == element or (element.fields and does(other) == does(element))]
        lost = every(where, guard, negated(some(*same)))
        yield Question(kind, lost, element, tuple(old.places[element]))


def does(element: Element) -> tuple[str, str]:
    """What an obligation or label does, of any pack."""
    parameters = element.parameters
    return element.kind, json.dumps(parameters, sort_keys=True) if parameters else element.content


def at_least(new: Element, old: Element) -> bool:
    """Whether who answers NEW's requirement would answer OLD's: the same one, and nothing of it weaker."""
    if new.pack != old.pack or not new.fields or not old.fields:
        return False
    return _as_strong(new.fields, old.fields) and (not new.waivable or (old.waivable and new.code == old.code))


def _as_strong(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    if any(new.get(name) != old.get(name) for name in ("kind", "id")):
        return False
    if new.get("ttl_seconds", 0) > old.get("ttl_seconds", 0):
        return False
    if new.get("otherwise") is not None and (
        old.get("otherwise") is None or not _as_strong(new["otherwise"], old["otherwise"])
    ):
        return False
    return bool(_ORDERS[new["kind"]](new, old)) if new.get("kind") in _ORDERS else False


def _approval(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    seats: dict[str, int] = {}
    for seat in new["seats"]:
        seats[seat["group_id"]] = seats.get(seat["group_id"], 0) + seat["n"]
    wanted: dict[str, int] = {}
    for seat in old["seats"]:
        wanted[seat["group_id"]] = wanted.get(seat["group_id"], 0) + seat["n"]
    return (
        all(seats.get(group, 0) >= number for group, number in wanted.items())
        and new["deny_quorum"] <= old["deny_quorum"]
        and new["reason_required"] >= old["reason_required"]
        and ("grant" not in new or new["grant"] == old.get("grant"))
    )


def _confirmation(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    return _ASSURANCES.index(new["min_assurance"]) >= _ASSURANCES.index(old["min_assurance"])


def _consent(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    return all(new.get(name) == old.get(name) for name in ("scope", "purpose", "binds"))


def _judge(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    same = all(new.get(name) == old.get(name) for name in ("prompt", "weight", "accepts"))
    return same and new.get("min_confidence", 0) >= old.get("min_confidence", 0)


_ORDERS = {"approval": _approval, "confirmation": _confirmation, "consent": _consent, "judge": _judge}
