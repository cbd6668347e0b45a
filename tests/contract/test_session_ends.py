"""Sessions that end by time: each has one record, whichever process looks, over restarts, wherever sessions lie."""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import replace
from typing import Any

import pytest
from support.environment import StillClock
from support.stored import AT, Entropy, entry
from support.waiting import until

from pdp.core.call.sessions import SETTLED_NS, end_of, ended
from pdp.core.check import NS
from pdp.core.rows.sessions import SessionOpening, SessionRow
from pdp.decide.commit import Recorder
from pdp.decide.sessions import SessionSweep
from pdp.store.clock import StoreClock

IDLE_NS = 60 * NS
_numbers = itertools.count(1)


@pytest.fixture(params=["store", pytest.param("redis", marks=pytest.mark.starts_server)])
def sessions(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Process:
    """One that records ends, at a time of the test's."""

    def __init__(self, store: Any, clock: StillClock) -> None:
        self.store = store
        self.clock = StoreClock(clock.wall, clock.monotonic, 0)
        entropy = Entropy(f"ends {next(_numbers)}")
        recorder = Recorder(store, self.clock, entropy, boot=store.boot, index_key=b"k" * 32)
        self.sweep = SessionSweep(store, recorder, self.clock, IDLE_NS)

    def ends(self) -> list[tuple[str, str]]:
        """Session and cause of each end, as the log has them."""
        records = [json.loads(data) for _, data in self.store.records_from(0, self.store.size())]
        return [(each["session"], each["by"]) for each in records if each.get("kind") == "session"]


def called(at_ns: int, opened_ns: int, index: str = "s") -> SessionRow:
    until_ns = at_ns + 10 * IDLE_NS
    return SessionRow(index, "alice", until_ns, opened_ns=opened_ns, used_ns=at_ns, over_ns=at_ns + IDLE_NS, calls=1)


async def begun(store: Any, at_ns: int, index: str = "s") -> SessionRow:
    """A first call."""
    row = called(at_ns, at_ns, index)
    opens = SessionOpening(index, at_ns, "acme", "gateway", f"record of {index}", row.over_ns + SETTLED_NS)
    await store.commit(entry(next(_numbers), row, opens))
    return row


async def test_one_record_for_each_once_it_is_over(place: Any) -> None:
    clock, store = StillClock(AT), place.open()
    one = Process(store, clock)
    for name in "st":
        await begun(store, AT, name)
    clock.advance(50)
    await store.commit(entry(next(_numbers), called(clock.wall(), AT, "t")))  # goes on
    clock.advance(70.5)  # past its time, and what was under way
    assert (await one.sweep(), one.ends()) == (1, [("record of s", "time")])
    assert await one.sweep() == 0
    clock.advance(60)
    assert (await one.sweep(), one.ends()[1:]) == (1, [("record of t", "time")])
    assert await one.sweep() == 0


async def test_a_restart_changes_nothing(place: Any) -> None:
    clock, store = StillClock(AT), place.open()
    await begun(store, AT)
    await store.close()
    clock.advance(121)
    later = Process(place.open(seed="later"), clock)
    assert (await later.sweep(), later.ends()) == (1, [("record of s", "time")])
    await later.store.close()
    last = Process(place.open(seed="last"), clock)
    assert (await last.sweep(), len(last.ends())) == (0, 1)


@pytest.mark.starts_server
@pytest.mark.parametrize("database", ["postgres"])
async def test_of_several_instances_one_records_it(place: Any) -> None:
    clock = StillClock(AT)
    fleet = [Process(place.open(seed=str(n)), clock) for n in range(3)]
    for n in range(20):
        await begun(fleet[n % 3].store, AT + n, f"s{n}")
    clock.advance(121)
    assert sum(await asyncio.gather(*(each.sweep() for each in fleet))) == 20
    await until(lambda: len({each.store.size() for each in fleet}) == 1)  # each has seen what the others wrote
    assert {len(each.ends()) for each in fleet} == {20}
    assert len({name for name, _ in fleet[0].ends()}) == 20


async def test_one_that_was_ended_is_not_recorded_again(place: Any) -> None:
    clock, store = StillClock(AT), place.open()
    one, row = Process(store, clock), await begun(store, AT)
    over = ended(replace(row, calls=0), AT + NS)
    await store.commit(entry(next(_numbers), over, end_of(over)))
    clock.advance(1_000)
    assert (await one.sweep(), one.ends()) == (0, [])


async def test_the_next_one_under_its_id_has_an_end_of_its_own(place: Any) -> None:
    """It may begin before anybody has looked for the end of the first."""
    clock, store = StillClock(AT), place.open()
    one = Process(store, clock)
    await begun(store, AT)
    clock.advance(61)
    await begun(store, clock.wall())
    clock.advance(60)
    assert (await one.sweep(), len(one.ends())) == (1, 1)
    clock.advance(61)
    assert (await one.sweep(), len(one.ends())) == (1, 2)


async def test_two_processes_that_begin_one_at_once_leave_one_end(place: Any) -> None:
    clock, store = StillClock(AT), place.open()
    one = Process(store, clock)
    for at_ns in (AT + NS, AT):  # the later call is committed first
        await begun(store, at_ns)
    clock.advance(130)
    assert (await one.sweep(), len(one.ends())) == (1, 1)
    assert await one.sweep() == 0


async def test_a_call_that_was_under_way_keeps_it_open(place: Any) -> None:
    """It was decided before the session's time was over, and is committed after it."""
    clock, store = StillClock(AT), place.open()
    one = Process(store, clock)
    await begun(store, AT)
    clock.advance(62)
    assert await one.sweep() == 0
    await store.commit(entry(next(_numbers), called(AT + 59 * NS, AT)))
    clock.advance(59)
    assert (await one.sweep(), one.ends()) == (0, [])
