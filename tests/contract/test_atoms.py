"""Hashed atoms on both stores: what is kept is what a naive model keeps, of what was asked for and no more."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from support.foretold import after
from support.stored import AT, an_id, entry

from pdp.core.call.sessions import SessionEffects
from pdp.core.call.stored import CallKeys
from pdp.core.ports.commit import RaiseMark
from pdp.core.record.atoms import OVERFLOW
from pdp.core.rows.sessions import AtomRow, PairChange, SeenText, SessionRow
from pdp.store import atoms as bounds

SECOND = 10**9
BIG = (1 << 63) - 1
ATOMS = (OVERFLOW, 1, 2, 3, -4, BIG, -BIG - 1)
PAIRS, SESSIONS = ("p", "q"), ("s", "t")
MEMORY = "m"
KEYS = CallKeys("acme", AT, AT, pair="p", also=MEMORY, session="s", atoms=ATOMS)


def a_session(index: str, at_ns: int, **fields: Any) -> SessionRow:
    row = SessionRow(
        index, "alice", AT * 2, opened_ns=at_ns, used_ns=at_ns, over_ns=AT * 2, tree=PAIRS[SESSIONS.index(index)]
    )
    return replace(row, **fields)


@dataclass(slots=True)
class Model:
    """Rows by place, session and atom; results that are awaited; whose a session's child is."""

    rows: dict[tuple[str, str, int], tuple[str, int]] = field(default_factory=dict)
    awaited: set[tuple[str, str]] = field(default_factory=set)

    def see(self, text: SeenText) -> None:
        if not text.session or (text.place, text.decision_id) in self.awaited:
            for atom in text.atoms:
                key = (text.place, text.session, atom)
                if key not in self.rows or self.rows[key][1] < text.since_ns:
                    self.rows[key] = text.decision_id, text.at_ns
        if text.memory:
            for (place, session, atom), row in list(self.rows.items()):
                if (place, session) == (text.memory, ""):
                    self.rows.setdefault((text.place, "", atom), row)

    def reset(self, pair: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if key[0] != pair}
        self.awaited = {each for each in self.awaited if each[0] != pair}

    def end(self, session: str) -> None:
        self.rows = {key: row for key, row in self.rows.items() if key[1] != session}

    def found(self, places: set[str], sessions: set[str], atoms: tuple[int, ...]) -> frozenset[AtomRow]:
        wanted = {"", *sessions}
        return frozenset(
            AtomRow(*key, *row)
            for key, row in self.rows.items()
            if key[0] in places and key[1] in wanted and key[2] in atoms
        )


def drawn(random: Random, n: int, at_ns: int, awaited: set[tuple[str, str]]) -> Iterator[SeenText]:
    for _ in range(random.randint(0, 3)):
        atoms = tuple(random.sample(ATOMS[1:], random.randint(1, 4)))
        if random.random() < 0.5:
            yield SeenText(random.choice((*PAIRS, MEMORY)), "alice", an_id(n), at_ns, atoms)
        else:
            place, decision = random.choice([*sorted(awaited), ("p", "nothing")])
            session = random.choice(SESSIONS)
            since = random.choice((AT, at_ns))
            yield SeenText(place, "alice", decision, at_ns, atoms, session, since, random.choice(("", MEMORY)))


@pytest.mark.parametrize("seed", range(4))
async def test_a_store_keeps_what_a_naive_model_keeps(store: Any, seed: int) -> None:
    random, model, at_ns = Random(seed), Model(), AT
    for n in range(60):
        at_ns += random.choice((0, 1, SECOND))
        awaits = PairChange(random.choice(PAIRS), reset=random.random() < 0.1, awaits=(an_id(n),))
        gone = random.choice([(), *({each} for each in sorted(model.awaited))])
        done = tuple(PairChange(pair, inspected=(decision,)) for pair, decision in gone)
        texts = tuple(drawn(random, n, at_ns, model.awaited))
        await store.commit(entry(n, awaits, *texts, *done))
        if awaits.reset:
            model.reset(awaits.pair)
        model.awaited.add((awaits.pair, an_id(n)))
        for text in texts:
            model.see(text)
        model.awaited -= set(gone)
        asked = tuple(random.sample(ATOMS, random.randint(0, len(ATOMS))))
        for pair in PAIRS:
            for session in ("", *SESSIONS):
                keys = replace(KEYS, pair=pair, session=session, atoms=asked)
                assert (await store.for_call(keys)).atoms == model.found({pair}, {session}, asked)
    assert any(session for _, session, _ in model.rows)
    assert any(place == "q" and not session for place, session, _ in model.rows)


async def test_what_a_call_leaves_is_foretold(store: Any) -> None:
    """The other pair's, the memory's and other atoms are no fact of the call."""
    known = await store.for_call(KEYS)
    texts = [SeenText(place, "alice", an_id(1), AT, (1, 2, 99)) for place in ("p", "q", MEMORY)]
    later = SeenText("p", "alice", an_id(2), AT + 1, (2, 3))
    for n, left in enumerate(
        (
            SessionEffects(a_session("s", AT), seen=tuple(texts)),
            SessionEffects(seen=(later,)),
            SessionEffects(pairs=(PairChange("p", reset=True),), seen=(replace(later, atoms=(BIG,)),)),
            SessionEffects(pairs=(PairChange("q", reset=True),)),
        )
    ):
        await store.commit(entry(n, left.session, *left.pairs, *left.seen))
        known = after(known, KEYS, left)
        assert await store.for_call(KEYS) == known
    assert {row.atom for row in known.atoms} == {BIG}


async def test_a_session_that_ends_takes_along_what_traced_in_it_and_its_children(store: Any) -> None:
    awaits = PairChange("p", awaits=(an_id(1),))
    rows = (a_session("s", AT), a_session("t", AT, parent="s"))
    texts = tuple(SeenText("p", "alice", an_id(1), AT, (1,), session) for session in ("s", "t", "u", ""))
    await store.commit_all((entry(1, rows[0], awaits, *texts), entry(2, rows[1])))
    ended = replace(rows[0], state="ended", over_ns=AT, calls=0)
    await store.commit(entry(3, ended))  # which one statement would not do for

    async def left(session: str) -> set[str]:
        return {row.session for row in (await store.for_call(replace(KEYS, session=session))).atoms}

    assert [await left(session) for session in ("s", "t", "u")] == [{""}, {""}, {"", "u"}]


async def test_a_session_that_is_long_over_takes_it_along_too(store: Any) -> None:
    awaits = PairChange("p", awaits=(an_id(1),))
    texts = tuple(SeenText("p", "alice", an_id(1), AT, (1,), session) for session in ("s", ""))
    old = a_session("s", AT, until_ns=AT + SECOND, over_ns=AT + SECOND)
    await store.commit(entry(1, old, awaits, *texts))
    await store.commit(entry(2, RaiseMark("clock", AT + 2 * SECOND)))
    assert len((await store.for_call(KEYS)).atoms) == 2
    late = AT + 3 * SECOND
    for n in range(3):
        await store.commit(entry(3 + n, replace(a_session("t", late), index=f"x{n}"), at_ns=late))
    assert {row.session for row in (await store.for_call(KEYS)).atoms} == {""}


async def test_a_task_shares_what_it_has_seen(store: Any) -> None:
    awaits = tuple(PairChange(pair, awaits=(an_id(1),)) for pair in PAIRS)
    texts = (
        SeenText("p", "alice", an_id(1), AT, (1,), "s"),
        SeenText("p", "alice", an_id(1), AT, (2,), "another"),
        SeenText("p", "alice", an_id(1), AT, (3,)),
        SeenText("q", "alice", an_id(1), AT, (BIG,)),
    )
    await store.commit(entry(1, a_session("s", AT), *awaits, *texts))
    child = replace(KEYS, pair="q", session="c", parent="s")
    assert {row.atom for row in (await store.for_call(child)).atoms} == {1, 3, BIG}
    row = replace(a_session("s", AT), index="c", owner="agent", parent="s")
    await store.commit(entry(2, row))
    assert {row.atom for row in (await store.for_call(replace(child, parent=""))).atoms} == {1, 3, BIG}
    assert {row.atom for row in (await store.for_call(KEYS)).atoms} == {1, 3}


async def test_a_full_place_is_marked_and_takes_no_more(store: Any) -> None:
    most = bounds.MOST_ATOMS
    size = 4_096
    for n in range(most // size):
        atoms = tuple(range(1_000 + n * size, 1_000 + (n + 1) * size))
        await store.commit(entry(n, SeenText("p", "alice", an_id(n), AT, atoms)))
    assert (await store.for_call(KEYS)).atoms == frozenset()
    await store.commit(entry(90, SeenText("p", "alice", an_id(90), AT, (1, 2))))
    assert {row.atom for row in (await store.for_call(KEYS)).atoms} == {OVERFLOW}
    await store.commit(entry(91, PairChange("p", reset=True)))
    await store.commit(entry(92, SeenText("p", "alice", an_id(92), AT, (1,))))
    assert {row.atom for row in (await store.for_call(KEYS)).atoms} == {1}
