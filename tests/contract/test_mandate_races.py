"""A mandate in two processes of one store: nothing is used after its end, and what has ended does not begin again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

import pytest
from support.stored import AT, entry

from pdp.core.approvals.steps import BeginMandate, ChangeMandate, EndMandates, Step
from pdp.core.call.mandates import MandateEvent, MandateRow, MandateState, MandateUse
from pdp.core.call.stored import CallKeys
from pdp.core.errors import Conflict

HOUR = 3600 * 10**9
ROUNDS = 200


def row(session: str, number: int = 0) -> MandateRow:
    name = f"m-{session}-{number}"
    return MandateRow(name, "acme", session, "alice", MandateState.ACTIVE, 1, "{}", "{}", AT, AT + HOUR)


class Process:
    """One of the processes; `base` keeps its records' numbers apart from the other's."""

    def __init__(self, store: Any, base: int) -> None:
        self.store, self.count = store, base

    async def does(self, *steps: Step) -> bool:
        """Whether its commit was not overtaken."""
        self.count += 1
        try:
            await self.store.commit(entry(self.count, *steps))
        except Conflict:
            return False
        return True

    async def there(self, session: str) -> MandateRow | None:
        found: MandateRow | None = (await self.store.for_call(CallKeys("acme", AT, AT, session=session))).mandate
        return found


async def test_what_was_ended_does_not_begin_again_in_its_session(store: Any) -> None:
    one = Process(store, 0)
    assert await one.does(BeginMandate(row("s"), AT))
    assert not await one.does(BeginMandate(row("s", 1), AT))
    assert await one.does(EndMandates("s", MandateEvent.REVOKED, AT + 1))
    assert not await one.does(BeginMandate(row("s", 2), AT))
    assert await one.does(BeginMandate(replace(row("s", 3), created_ns=AT + 9), AT + 1))  # a later session of that id
    assert len(store.mandates("acme", session="s")) == 2
    assert store.mandates("globex") == ()
    assert store.mandate("globex", "m-s-0") is None


@pytest.mark.sweep
@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.starts_server)])
async def test_two_processes_end_use_and_begin_at_once(place: Any, database: str) -> None:
    """200 rounds, in an order that chance has: at most `left` uses, none after the end, one mandate a session."""
    assert database == "postgres"
    one, two = Process(place.open(seed="one"), 1_000_000), Process(place.open(seed="two"), 2_000_000)
    chance = random.Random(31)
    for number in range(ROUNDS):
        session = f"r{number}"
        begun = await asyncio.gather(
            one.does(BeginMandate(row(session, 1), AT)), two.does(BeginMandate(row(session, 2), AT))
        )
        assert sorted(begun) == [False, True]
        now = await two.there(session)
        assert now is not None
        use = ChangeMandate(now.id, now.version, MandateUse({0: 1}), MandateEvent.USED, AT)
        end = EndMandates(session, MandateEvent.PERSON_REFUSED, AT)
        moves = [one.does(use), two.does(use), chance.choice((one, two)).does(end)]
        chance.shuffle(moves)
        await asyncio.gather(*moves)
        assert await one.there(session) is None
        (ended,) = one.store.mandates("acme", session=session)
        used = MandateUse.from_text(ended.used) if ended.used != "{}" else MandateUse()
        assert sum(used.calls.values()) <= 1
        again = ChangeMandate(now.id, ended.version, MandateUse({0: 9}), MandateEvent.USED, AT)
        assert not await two.does(again)
        assert not await one.does(BeginMandate(row(session, 3), AT))
