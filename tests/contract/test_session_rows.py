"""State of sessions and labels: stores say what was foretold, and refuse what came too late."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from support.foretold import after
from support.stored import AT, an_id, entry

from pdp.core.approvals.steps import RemoveLabels, ShowLabels
from pdp.core.call.sessions import SessionEffects
from pdp.core.call.stored import CallKeys, StoredCall
from pdp.core.errors import Conflict
from pdp.core.ports.commit import RaiseMark
from pdp.core.rows.sessions import LabelRow, PairChange, SessionRow

SECOND = 10**9
IDLE = 10 * SECOND
ROW = SessionRow("s", "alice", AT + 100 * IDLE, opened_ns=AT, used_ns=AT, over_ns=AT + IDLE, calls=1, tree="p")
KEYS = CallKeys("acme", AT, AT, session="s", pair="p", also="m", parent="")


@pytest.fixture(params=["store", pytest.param("redis", marks=pytest.mark.starts_server)])
def sessions(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def drawn(random: Random, n: int, at_ns: int, known: StoredCall) -> SessionEffects:
    """What some call might leave behind."""
    pairs = ("p", "q", "m")
    row = None
    if random.random() < 0.7:
        open_ = known.session is not None and known.session.over_ns > at_ns
        opened = known.session.opened_ns if open_ and known.session is not None else at_ns
        row = replace(
            ROW,
            index=random.choice("sst"),
            opened_ns=opened,
            used_ns=at_ns,
            over_ns=at_ns + IDLE,
            until_ns=ROW.until_ns + at_ns - AT,
            denials=random.randint(0, 1),
            task=random.choice(["", "task"]),
            scopes=random.choice(["", "[]"]),
            address=random.choice(["", "there"]),
        )
    labels = tuple(
        LabelRow(random.choice(pairs), random.choice("abc"), "code", "pack", an_id(n), at_ns)
        for _ in range(random.randint(0, 2))
    )
    change = PairChange(
        random.choice("pq"), random.random() < 0.1, *(((an_id(n),), ()) if random.random() < 0.5 else ((), ()))
    )
    return SessionEffects(row, labels, (change,))


@pytest.mark.parametrize("seed", range(3))
async def test_a_store_says_what_was_foretold(store: Any, seed: int) -> None:
    random, known, at_ns = Random(seed), StoredCall(), AT
    for n in range(40):
        at_ns += random.choice((0, 1, SECOND, IDLE))
        left = drawn(random, n, at_ns, known)
        await store.commit(entry(n, left.session, *left.pairs, *left.labels))
        known = after(known, KEYS, left)
        assert await store.for_call(KEYS) == known
    assert known.session is not None
    assert known.labels


async def test_entries_of_one_commit_add_up(store: Any) -> None:
    label = LabelRow("p", "a", "code", "pack", an_id(1), AT)
    for n, rows in enumerate(((ROW, replace(ROW, denials=1)), (ROW,) * 3)):
        entries = tuple(entry(10 * n + i, row, label) for i, row in enumerate(rows))
        await store.commit_all(entries)
    await store.commit_all(tuple(entry(30 + n, ROW) for n in range(2)))  # plain ones
    found = await store.for_call(KEYS)
    assert (found.session, found.labels) == (replace(ROW, calls=7, denials=1), (label,))


async def test_what_was_inspected_is_awaited_no_longer(store: Any) -> None:
    awaits = PairChange("p", awaits=(an_id(1), an_id(2)))
    await store.commit(entry(1, awaits, replace(awaits, pair="q")))
    assert (await store.for_call(KEYS)).awaited == 2
    for n in range(2):  # twice the same
        await store.commit(entry(2 + n, PairChange("p", inspected=(an_id(1),))))
        assert (await store.for_call(KEYS)).awaited == 1
    assert (await store.for_call(replace(KEYS, pair="q"))).awaited == 2


async def test_labels_that_people_were_shown_go_alone(store: Any) -> None:
    """What puts a label there after a request showed it leaves another row, which stays."""
    old, other = [LabelRow("p", name, "code", "", an_id(1), AT) for name in "ab"]
    await store.commit(entry(1, old, other, replace(old, pair="q")))
    await store.commit(entry(2, ShowLabels(an_id(9), (old,)), kind="declassification"))
    shown, new = replace(old, shown=an_id(9)), replace(old, decision_id=an_id(3), at_ns=AT + 3)
    assert (await store.for_call(KEYS)).labels == (shown, other)
    for n in (3, 4):
        await store.commit(entry(n, replace(new, decision_id=an_id(n))))  # the first one stays, as ever
    assert (
        set((await store.for_call(KEYS)).labels)
        == {shown, other, new}
        == set(await store.in_thread(store.labels, "p"))
    )
    for n, step in enumerate(
        (
            ShowLabels(an_id(8), (old,)),
            RemoveLabels((shown, replace(other, decision_id=an_id(7)))),
            RemoveLabels((replace(shown, shown=an_id(8)),)),
        )
    ):
        with pytest.raises(Conflict):
            await store.commit(entry(10 + n, step))
    assert set((await store.for_call(KEYS)).labels) == {shown, other, new}
    await store.commit(entry(5, RemoveLabels((shown,)), kind="declassification"))
    assert set((await store.for_call(KEYS)).labels) == {other, new}
    with pytest.raises(Conflict):
        await store.commit(entry(6, RemoveLabels((shown,))))
    assert [each.label for each in (await store.for_call(replace(KEYS, pair="q"))).labels] == ["a"]


async def test_a_tree_shares_its_labels(store: Any) -> None:
    """By the session's row, and before there is one by its parent's."""
    await store.commit(entry(1, ROW, LabelRow("p", "a", "code", "", an_id(1), AT)))
    child = CallKeys("acme", AT, AT, session="c", pair="q", parent="s")
    found = await store.for_call(child)
    assert (found.session, found.parent, [each.label for each in found.labels]) == (None, ROW, ["a"])
    row = replace(ROW, index="c", owner="agent", parent="s", tree="p")
    await store.commit(entry(2, row, LabelRow("q", "b", "code", "", an_id(2), AT + 1)))
    found = await store.for_call(replace(child, parent=""))
    assert (found.session, found.parent, [each.label for each in found.labels]) == (row, ROW, ["a", "b"])
    assert [each.label for each in (await store.for_call(KEYS)).labels] == ["a"]


@pytest.mark.parametrize(
    "late",
    [
        {"owner": "bob"},
        {"task": "another"},
        {"scopes": '["more"]'},
        {"address": "another"},
        {"parent": "another"},
        {"owner": "bob", "used_ns": AT + IDLE, "opened_ns": AT + IDLE},
    ],
)
async def test_what_another_commit_made_untrue_is_refused(store: Any, late: dict[str, Any]) -> None:
    begun = replace(ROW, task="task", scopes="[]", address="there")
    await store.commit(entry(1, begun))
    for more in ((), (LabelRow("p", "a", "code", "", an_id(2), AT),)):
        with pytest.raises(Conflict):
            await store.commit(entry(2, replace(ROW, **late), *more))
    assert await store.for_call(KEYS) == StoredCall(session=begun)


async def test_what_has_ended_refuses_every_later_call(store: Any) -> None:
    ended = replace(ROW, state="ended", over_ns=AT, calls=0)
    await store.commit_all((entry(1, ROW), entry(2, ended)))
    for n, row in enumerate((ROW, replace(ROW, opened_ns=AT + IDLE, used_ns=AT + IDLE), ended)):
        with pytest.raises(Conflict):
            await store.commit(entry(3 + n, row))
    found = (await store.for_call(KEYS)).session
    assert (found.state, found.calls, found.over_ns) == ("ended", 1, AT)
    await store.commit(entry(9, RaiseMark("clock", ROW.until_ns + 1)))
    assert (await store.for_call(KEYS)).session is None
    await store.commit(entry(10, replace(ROW, owner="bob", used_ns=ROW.until_ns + 1)))
