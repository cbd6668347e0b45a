"""What earlier items of a batch leave behind: followed step by step, the same as looked at whole."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import reduce

from support.for_each import for_each

from pdp.core.call.labels import LabelRow
from pdp.core.call.sessions import SessionEffects, after, atoms_after
from pdp.core.record.stored import AtomRow, CallKeys, PairChange, SeenText, SessionRow, StoredCall
from pdp.decide.batch import Trail

PAIRS, SESSIONS, LABELS = ("p", "q", ""), ("s", "t", ""), ("a", "b", "unobserved")


def keys(drawn: random.Random) -> CallKeys:
    also = drawn.choice(("m", ""))
    return CallKeys("t", 0, 0, session=drawn.choice(SESSIONS), pair=drawn.choice(PAIRS), also=also)


def row(drawn: random.Random, index: str) -> SessionRow:
    used, life = drawn.randrange(9), drawn.choice((1, 9))
    state, tree = drawn.choice(("open", "open", "open", "ended")), drawn.choice(("p", "q"))
    return SessionRow(index, "o", 99, state, used, used, used + life, 1, drawn.randrange(2), tree=tree)


def label(drawn: random.Random) -> LabelRow:
    return LabelRow(drawn.choice(("p", "q", "m")), drawn.choice(LABELS), "c", "k", "d", drawn.randrange(9))


def left(drawn: random.Random, by: CallKeys) -> SessionEffects:
    changes = [PairChange("p", reset=True), PairChange("q", awaits=("d",)), PairChange("p", inspected=("d",))]
    return SessionEffects(
        session=row(drawn, by.session) if by.session else None,
        labels=tuple(label(drawn) for _ in range(drawn.randrange(3))),
        pairs=tuple(drawn.sample(changes, drawn.randrange(3))),
    )


def stored(drawn: random.Random, by: CallKeys) -> StoredCall:
    session = row(drawn, by.session) if by.session and drawn.random() < 0.5 else None
    return StoredCall(
        session=session, labels=tuple({label(drawn) for _ in range(2)}), unknown_outcomes=drawn.random()
    )


@for_each("seed", range(300))
def test_what_was_left_is_met_once_and_in_order(seed: int) -> None:
    """The store's part may change from item to item, for others write meanwhile."""
    drawn = random.Random(seed)
    trail, told = Trail(), []
    known = {}
    for _ in range(24):
        mine = keys(drawn)
        if mine not in known or drawn.random() < 0.2:
            known[mine] = drawn.choice((StoredCall(), stored(drawn, mine)))
        related = [each for by, each in told if by.pair == mine.pair or by.session == mine.session]
        whole = reduce(lambda found, each: after(found, mine, each), related, known[mine])
        assert trail.after(mine, known[mine]) == whole
        step = mine, left(drawn, mine)
        trail.effects.append(step)
        told.append(step)


@for_each("seed", range(100))
def test_what_was_said_is_met_though_most_of_it_is_passed_over(seed: int) -> None:
    """Answers that hold none of the atoms that a call asks for are not folded, but for those that take some away."""
    drawn, trail = random.Random(seed), Trail()
    for n in range(24):
        mine = replace(keys(drawn), atoms=tuple(drawn.sample(range(9), drawn.randrange(4))))
        rows = {AtomRow(drawn.choice("pq"), drawn.choice(("", "s")), atom, "d", 0) for atom in mine.atoms}
        known = StoredCall(atoms=frozenset(rows))
        found = trail.after(mine, known)
        whole = replace(known, session=found.session)
        for by, each in trail.effects:
            if by.pair == mine.pair or by.session == mine.session:
                whole = replace(whole, atoms=atoms_after(whole, mine, each))
        assert found.atoms == whole.atoms
        said = tuple(drawn.sample(range(9), 2))
        text = SeenText(drawn.choice("pq"), "alice", f"d{n}", n, said, drawn.choice(("", "s")))
        trail.effects.append((mine, replace(left(drawn, mine), seen=(text,))))
