"""What is named for the first time, on both stores: told once, whatever restarts, floods or is refused."""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from support.erasing import erase_subject
from support.stored import AT, Entropy, Now, an_id

from pdp.core.bytes.digest import canonical
from pdp.core.call.registered import Interpreter
from pdp.core.errors import Unavailable
from pdp.core.record.stored import FULL, Commit, FirstRow, ValueRow
from pdp.core.record.stored import MOST_FIRSTS as MOST
from pdp.proof.first_seen import AT_ONCE, KINDS, NAME, FirstSeen, Place, Reading
from pdp.proof.pushes import EVERY, LEASE_NS, Push
from pdp.proof.receivers import Selection
from pdp.store.firsts import keep
from pdp.store.opening import AnyStore

KEY = bytes(32)
Told = Counter[tuple[str, str]]


async def until_quiet(each: Push) -> None:
    """Steps until it waits for something."""
    while await each.step() != EVERY:
        pass


class Counted:
    """Counts by sort and check."""

    def __init__(self) -> None:
        self.new: Told = Counter()

    def count(self, name: str, attributes: dict[str, str]) -> None:
        if name == "pdp.targets.new":
            self.new[attributes["pdp.new"], attributes["pdp.check"]] += 1

    def level(self, *_: object) -> None:
        pass


async def reading(places: Collection[Place]) -> Mapping[Place, Reading]:
    """Of the tool `x` an argument is read as a path."""
    return {place: [Interpreter("path", "/path")] if place[2] == "x" else [] for place in places}


def follower(store: AnyStore, clock: Now, begin: int = 0, key: bytes = KEY) -> tuple[Push, Told]:
    """As the wiring makes it."""
    counted: Any = Counted()
    seen = FirstSeen(store, key, reading, begin, counted)
    own = Push(NAME, seen, Selection(kinds=KINDS), store, clock, Entropy(), AT_ONCE, 0, counted)
    return own, counted.new


def decided(n: int, arguments: Any, tenant: str = "acme", **more: Any) -> Commit:
    """A decision with its input document."""
    record = {
        "kind": "decision",
        "id": an_id(n),
        "tenant": tenant,
        "effect": "allow",
        "enforcement": "enforced",
        "server": {"id": "git", "status": "ok", "code": ""},
        "target": {"key": "tool:x", "name": "x", "kind": "tool", "status": "ok", "code": ""},
        "agent": {"id": "agent", "kind": "actor", "status": "ok", "code": ""},
        **more,
    }
    sinks = [{"kind": "network", "argument": "/to"}]
    document = {"arguments": {"value": arguments}, "server": {"id": "git"}, "targets": [{"sinks": sinks}]}
    value = ValueRow(an_id(n), tenant, f"index {n}", "input", b"salt", canonical(document))
    return Commit(an_id(n), record["kind"], tenant, AT, canonical(record), values=(value,))


ONE_EACH = {("server", "ok"): 1, ("target", "ok"): 1, ("agent", "ok"): 1}


async def test_each_name_is_told_once_over_restarts(place: Any, caplog: pytest.LogCaptureFixture) -> None:
    store, clock = place.open(), Now()
    call = {"to": "evil.example", "path": "/home/alice/x", "b": "https://api.example/y"}
    await store.commit_all((decided(0, call), decided(1, call)))
    own, told = follower(store, clock)
    await until_quiet(own)
    assert told == ONE_EACH | {("host", "ok"): 2, ("path", "ok"): 1}
    lines = [json.loads(line.message) for line in caplog.records if line.name == "pdp.seen"]
    assert {(line["event"], line["tenant"], line["decision_id"]) for line in lines} == {
        ("target.first_seen", "acme", an_id(0))
    }
    assert Counter(line["sort"] for line in lines) == {"server": 1, "target": 1, "agent": 1, "host": 2, "path": 1}
    for name in ("evil", "alice", "api.example"):
        assert name not in caplog.text
    await store.commit_all((decided(2, call),))  # by what is held in memory
    await until_quiet(own)
    await own.close()
    await store.close()
    store = place.open(seed="second")
    await store.commit_all((decided(3, {**call, "to": "new.example"}), decided(4, call, tenant="other")))
    own, told = follower(store, clock, store.size())
    await until_quiet(own)
    assert told == {
        each: n + (each == ("host", "ok")) for each, n in (ONE_EACH | {("host", "ok"): 2, ("path", "ok"): 1}).items()
    }
    assert [row.index for row in sorted(store.firsts("acme"), key=lambda row: row.index)] == [0] * 6 + [3]


async def test_nothing_personal_is_kept_in_plain(store: AnyStore) -> None:
    call = {"to": "alice.example", "path": "/home/alice/x"}
    await store.commit_all((decided(0, call),))
    await until_quiet(follower(store, Now())[0])
    rows = store.firsts("acme")
    assert {row.sort for row in rows} == {"server", "target", "agent", "host", "path"}
    assert all(len(row.name) == 64 and int(row.name, 16) for row in rows)
    assert len({row.name for row in rows}) == 5
    await erase_subject(store, "acme", "index 0")
    assert store.inputs_from(0, 9) == {}
    assert set(store.firsts("acme")) == set(rows)


async def test_what_was_there_before_is_learnt_in_silence(place: Any) -> None:
    """Also where the process ends before it has learnt all of it."""
    store, clock = place.open(), Now()
    calls = [decided(n, {"to": f"h{n}.example"}) for n in range(AT_ONCE + 1)]
    await store.commit_all(tuple(calls))
    own, told = follower(store, clock, begin=store.size())
    await own.step()
    assert own.position == AT_ONCE
    await own.close()
    await store.commit_all((decided(100, {"to": "h1.example"}), decided(101, {"to": "new.example"})))
    own, later = follower(store, clock, begin=store.size())
    await until_quiet(own)
    assert (told, later) == ({}, {("host", "ok"): 1})
    assert len(store.firsts("acme")) == AT_ONCE + 1 + 1 + 3


async def test_a_refused_call_teaches_nothing_and_what_it_makes_up_has_a_place_of_its_own(store: AnyStore) -> None:
    own, told = follower(store, Now())
    made_up = {"id": "shadow", "status": "failed", "code": "server.unknown"}
    await store.commit_all(
        (
            decided(0, {"to": "evil.example"}, effect="deny"),
            decided(1, {"to": "evil.example"}, effect="pending"),
            decided(2, {"to": "evil.example"}, effect="deny", server=made_up),
            decided(3, {"to": "evil.example"}, effect="deny", server=made_up),
        )
    )
    await until_quiet(own)
    assert told == {("server", "server.unknown"): 1}
    signed = {"id": "shadow", "status": "ok", "code": ""}
    await store.commit_all((decided(4, {"to": "evil.example"}, server=signed),))
    await until_quiet(own)
    assert told == ONE_EACH | {("server", "server.unknown"): 1, ("host", "ok"): 1}


async def test_a_flood_has_so_many_places_and_is_told_once(store: AnyStore, caplog: pytest.LogCaptureFixture) -> None:
    """In one call or in many; the tenant's other sorts and other tenants keep theirs."""
    own, told = follower(store, Now())
    floods = [[f"h{n}.example" for n in range(first, first + 2_500)] for first in range(0, 10_000, 2_500)]
    for n, to in enumerate(floods):
        await store.commit_all((decided(n, {"to": to}),))
        await until_quiet(own)
    hosts = [row for row in store.firsts("acme") if row.sort == "host"]
    assert (len(hosts), [row.index for row in hosts if row.name == FULL]) == (MOST + 1, [0])
    assert told == ONE_EACH | {("host", "ok"): MOST, ("host", "overflow"): 3 * (MOST + 1) + 1}
    assert caplog.text.count("target.overflow") == 1
    await store.commit_all((decided(5, {"to": "late.example", "path": "/a/x"}), decided(6, {"to": "h.example"}, "b")))
    again, later = follower(store, Now())
    await own.close()
    await until_quiet(again)
    assert later == ONE_EACH | {("host", "overflow"): 1, ("path", "ok"): 1, ("host", "ok"): 1}
    assert caplog.text.count("target.overflow") == 1
    assert len([row for row in store.firsts("acme") if row.sort == "host"]) == MOST + 1


async def test_more_tenants_than_memory_holds_are_told_of_once(store: AnyStore) -> None:
    own, told = follower(store, Now())
    tenants = [f"t{n}" for n in range(2 * AT_ONCE + 9)]
    for first in (0, 1000):
        await store.commit_all(tuple([decided(n, {}, tenant) for n, tenant in enumerate(tenants, first)]))
        await until_quiet(own)
        assert told == {each: len(tenants) for each in ONE_EACH}


@pytest.mark.parametrize("database", [pytest.param("postgres", marks=pytest.mark.starts_server)])  # SQLite has one
async def test_a_fleet_tells_once(place: Any) -> None:
    one, other, clock = place.open(), place.open(seed="other"), Now()
    (first, told), (second, later) = follower(one, clock), follower(other, clock)
    await one.commit_all((decided(0, {"to": "a.example"}),))
    await until_quiet(first)
    await until_quiet(second)
    await other.commit_all((decided(1, {"to": "a.example"}),))
    await one.commit_all((decided(2, {"to": "b.example"}),))  # sees what the other one wrote
    await until_quiet(first)
    clock.at += LEASE_NS + 1
    await other.commit_all((decided(3, {"to": "b.example"}), decided(4, {"to": "c.example"})))
    await until_quiet(second)  # has the cursor now
    assert told == ONE_EACH | {("host", "ok"): 2}
    assert later == {("host", "ok"): 1}
    await second.close()
    await one.commit_all((decided(5, {"to": "c.example"}),))
    await until_quiet(first)  # what it has in memory is older
    assert told == ONE_EACH | {("host", "ok"): 2}


async def test_what_cannot_be_kept_is_tried_again_and_said(
    store: AnyStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await store.commit_all((decided(0, {"to": "a.example"}),))
    own, told = follower(store, clock := Now())

    async def failing(_: tuple[FirstRow, ...]) -> Any:
        raise Unavailable("record.unavailable", "no disk")

    with monkeypatch.context() as broken:
        broken.setattr(store, "transact", failing)
        await until_quiet(own)
    assert (told, own.position, store.firsts("acme")) == ({}, 0, ())
    assert "push first seen: record.unavailable" in caplog.text
    await store.commit_all((decided(1, {"to": "b.example"}),))
    clock.at += LEASE_NS
    await until_quiet(own)
    assert told == ONE_EACH | {("host", "ok"): 2}


async def test_a_run_that_dies_before_it_tells_is_followed_by_one_that_does(place: Any) -> None:
    store = place.open()
    await store.commit_all((decided(0, {"to": "a.example"}),))
    own, told = follower(store, Now())
    while not told:
        await own.step()  # and dies before it saves where it is
    await store.close()
    store = place.open(seed="second")
    own, told = follower(store, Now(AT + LEASE_NS + 1), store.size())
    await until_quiet(own)
    assert told == ONE_EACH | {("host", "ok"): 1}  # rather twice than not at all


async def test_a_name_that_another_process_kept_meanwhile_stays_its(store: AnyStore) -> None:
    (kept,) = await store.transact(lambda db: keep(db, (FirstRow("acme", "host", "h", 1),)))
    assert await store.transact(lambda db: keep(db, (FirstRow("acme", "host", "h", 2),))) == (kept,)
    assert store.firsts("acme") == (kept,)
