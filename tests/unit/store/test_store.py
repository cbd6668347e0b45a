"""The commit port on a real SQLite file."""

import asyncio
import hashlib
import os
import sqlite3
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pdp.core.errors import ConfigurationFault, Fault, InvalidRequest, Unavailable
from pdp.core.ids import uuid7
from pdp.core.stored import Artefact, CallRow, Commit, ReplyRow, SwitchRow, ValueRow
from pdp.store.options import StoreOptions
from pdp.store.sqlite import SqliteStore

AT = 1_800_000_000_000_000_000


class Entropy:
    def __init__(self) -> None:
        self.count = 0

    def bytes(self, count: Any) -> Any:
        self.count += 1
        return hashlib.shake_128(str(self.count).encode()).digest(count)


def an_id(n: Any) -> Any:
    return uuid7(AT, n.to_bytes(8, "big"))


def entry(n: Any, **fields: Any) -> Any:
    record = b'{"id":"%s"}' % an_id(n).encode()
    return Commit(an_id(n), fields.pop("kind", "decision"), "acme", fields.pop("at_ns", AT), record, **fields)


def a_reply(key: Any = "k", content: Any = "c", effect: Any = "allow", created_ns: Any = AT) -> Any:
    return ReplyRow(key, content, "decide", effect, b"reply", "epochs", AT, created_ns)


def a_switch(engaged: Any = True, value: Any = "git_reset") -> Any:
    return SwitchRow("acme", "tool", "git", value, engaged, "incident", "ops", AT)


def opened(path: Any, **options: Any) -> Any:
    return SqliteStore.open(StoreOptions(path=path / "store", **options), entropy=Entropy())


@pytest.fixture
async def store(tmp_path: Any) -> Any:
    found = opened(tmp_path)
    yield found
    await found.close()


async def test_a_commit_can_be_read_back_at_once(store: Any) -> None:
    value = ValueRow(an_id(1), "acme", "alice", "input", b"salt", b"{}")
    call = CallRow("idx", "acme", "alice", b"salt", "digest", AT)
    artefact = Artefact("d1", "bundle", b"data")
    made = entry(1, values=(value,), call=call, reply=a_reply(), artefacts=(artefact,), high_water=(("clock", 7),))
    ref = await store.commit(made)
    assert (ref.log, ref.index) == (store.origin, 0)
    assert ref.leaf_hash == hashlib.sha256(b"\0" + made.record).digest()
    assert store.record(made.record_id) == store.record_at(0)
    assert store.record_at(0).record == made.record
    assert store.record_at(0).ref == ref
    assert store.record_at(0).tenant == "acme"
    assert store.value(made.record_id, "input") == value
    assert store.call("idx") == call
    assert store.reply("k") == a_reply()
    assert store.artefact("d1") == artefact
    assert store.high_water("clock") == 7
    assert store.size() == 1
    assert store.healthy()


async def test_what_is_not_there_reads_as_none(store: Any) -> None:
    await store.commit(entry(1))
    assert store.record("no") is store.record_at(1) is store.value(an_id(1), "input") is None
    assert store.call("no") is store.reply("no") is store.artefact("no") is None
    assert store.high_water("clock") == store.switch_epoch() == 0
    assert store.switches() == ()


async def test_everything_survives_a_restart(tmp_path: Any) -> None:
    first = opened(tmp_path)
    assert first.clean
    await first.commit(entry(1, switch=a_switch(), reply=a_reply(), high_water=(("clock", 9),)))
    await first.close()
    second = opened(tmp_path)
    try:
        assert (second.size(), second.origin, second.clean) == (1, first.origin, True)
        assert second.switches() == (a_switch(),)
        assert second.high_water("clock") == 9
        assert second.reply("k") == a_reply()
        assert (await second.commit(entry(2))).index == 1
    finally:
        await second.close()


async def test_a_duplicate_id_fails_alone_and_leaves_no_gap(store: Any) -> None:
    first = await store.commit(entry(1))
    wanted = [2, 3, 1, 4, 1, 5]  # one batch: they are queued before the writer wakes
    results = await asyncio.gather(*(store.commit(entry(n)) for n in wanted), return_exceptions=True)
    assert [getattr(r, "code", None) for r in results] == [None, None, "store.entry", None, "store.entry", None]
    indexes = sorted([first.index] + [r.index for r in results if not isinstance(r, Fault)])
    assert indexes == list(range(5))
    assert store.healthy()
    assert [store.record_at(i) is not None for i in range(6)] == [True] * 5 + [False]


async def test_a_failed_entry_leaves_nothing_of_itself(store: Any) -> None:
    await store.commit(entry(1))
    bad = entry(1, reply=a_reply("other"), switch=a_switch(), high_water=(("clock", 9),))
    with pytest.raises(Unavailable):
        await store.commit(bad)
    bad = entry(2, reply=a_reply("k2"), high_water=(("switch_epoch", 9),))
    with pytest.raises(Fault) as e:
        await store.commit(bad)
    assert e.value.code == "store.entry"
    assert store.reply("other") is store.reply("k2") is store.record(an_id(2)) is None
    assert (store.switches(), store.high_water("clock"), store.switch_epoch()) == ((), 0, 0)


@pytest.mark.parametrize(
    "broken",
    [
        {"record": "text"},
        {"record": b"x" * 60_001},
        {"record_id": "\ud800"},
        {"at_ns": 2**63},
        {"values": tuple(ValueRow(an_id(9), "acme", "a", f"/{i}", b"s", b"{}") for i in range(17))},
        {"values": (ValueRow(an_id(8), "acme", "a", "/", b"s", b"{}"),)},
        {"switch": replace(a_switch(), scope="world")},
    ],
)
async def test_an_entry_that_cannot_be_written_is_refused_alone(store: Any, broken: Any) -> None:
    results = await asyncio.gather(
        store.commit(entry(1)),
        store.commit(replace(entry(9), **broken)),
        store.commit(entry(2)),
        return_exceptions=True,
    )
    assert [r.index for r in (results[0], results[2])] == [0, 1]
    assert isinstance(results[1], Fault)
    assert store.healthy()


async def test_a_request_id_cannot_be_taken_by_other_content(store: Any) -> None:
    await store.commit(entry(1, reply=a_reply(content="one", effect="pending")))
    await store.commit(entry(2, reply=a_reply(content="one", effect="allow")))
    with pytest.raises(InvalidRequest) as e:
        await store.commit(entry(3, reply=a_reply(content="two")))
    assert e.value.code == "request.id_reused"
    assert store.reply("k").effect == "allow"
    assert store.size() == 2


async def test_a_call_keeps_its_first_salt(store: Any) -> None:
    call = CallRow("idx", "acme", "alice", b"salt", "digest", AT)
    await store.commit(entry(1, call=call))
    await store.commit(entry(2, call=replace(call, created_ns=AT + 1)))
    with pytest.raises(Unavailable) as e:
        await store.commit(entry(3, call=replace(call, salt=b"other")))
    assert e.value.code == "store.conflict"
    assert store.call("idx") == call
    assert store.healthy()


async def test_switches_have_an_epoch_and_can_be_released(store: Any) -> None:
    await store.commit(entry(1, switch=a_switch()))
    await store.commit(entry(2, switch=a_switch(value="git_push")))
    assert store.switches() == (a_switch(value="git_push"), a_switch())
    assert store.switch_epoch() == 2
    await store.commit(entry(3, switch=a_switch(engaged=False)))
    assert store.switches() == (a_switch(value="git_push"),)
    assert store.switch_epoch() == 3


async def test_old_replies_and_calls_are_pruned(tmp_path: Any) -> None:
    store = opened(tmp_path, replies_keep_seconds=60, calls_keep_seconds=120)
    try:
        call = CallRow("idx", "acme", "a", b"s", "d", AT)
        await store.commit(entry(1, reply=a_reply("old"), call=call))
        await store.commit(entry(2, reply=a_reply("again")))
        later = AT + 61_000_000_000
        # answered again at a later time, so it is young again
        await store.commit(entry(3, at_ns=AT + 30_000_000_000, reply=a_reply("again", created_ns=later)))
        await store.commit(entry(4, at_ns=later))
        await store.commit(entry(5, at_ns=later))
        assert store.reply("old") is None
        assert store.reply("again") is not None
        assert store.call("idx") is not None
        await store.commit(entry(6, at_ns=AT + 121_000_000_000))
        assert store.call("idx") is None
    finally:
        await store.close()


def _lasting(value: str, until_ns: int) -> SwitchRow:
    return replace(a_switch(value=value), until_ns=until_ns)


async def test_switches_that_released_themselves_are_swept_out(tmp_path: Path) -> None:
    store = opened(tmp_path)
    await store.commit(entry(1, switch=_lasting("soon", AT + 5)))
    await store.commit(entry(2, switch=_lasting("later", AT + 50)))
    await store.commit(entry(3, switch=_lasting("for-good", 0)))
    await store.commit(entry(4, high_water=(("clock", AT + 4),)))
    await store.commit(entry(5))
    assert [row.value for row in store.switches()] == ["for-good", "later", "soon"]
    await store.commit(entry(6, high_water=(("clock", AT + 5),)))
    await store.commit(entry(7))
    assert [row.value for row in store.switches()] == ["for-good", "later"]
    assert store.switch_epoch() == 3
    await store.close()
    again = opened(tmp_path)
    assert [row.value for row in again.switches()] == ["for-good", "later"]
    await again.close()


async def test_a_wrong_leap_of_the_clock_releases_nothing(store: Any) -> None:
    """The mark of the clock does not follow a leap, so a corrected clock finds the switch engaged."""
    await store.commit(entry(1, switch=_lasting("soon", AT + 5), high_water=(("clock", AT),)))
    await store.commit(entry(2, at_ns=AT + 10**18))
    await store.commit(entry(3, at_ns=AT + 10**18))
    assert [row.value for row in store.switches()] == ["soon"]


def _valued(n: int, at_ns: int, **fields: Any) -> Any:
    rows = tuple(ValueRow(an_id(n), "acme", "", path, b"salt", b"{}") for path in ("arguments", "input"))
    return entry(n, at_ns=at_ns, values=rows, **fields)


@pytest.mark.parametrize("keep", [None, 3600])
async def test_values_are_kept_as_long_as_the_operator_says(tmp_path: Path, keep: int | None) -> None:
    """Those of nobody in particular as well, which no erasure finds."""
    hour = 3600 * 10**9
    store = opened(tmp_path, values_keep_seconds=keep)
    for n in range(6):
        await store.commit(_valued(n, AT + n, high_water=(("clock", AT + n),)))
    assert store.value(an_id(0), "input") is not None
    await store.commit(_valued(6, AT + hour + 3, high_water=(("clock", AT + hour + 3),)))
    for n in range(7, 10):
        await store.commit(_valued(n, AT + hour + 3))
    left = [n for n in range(10) for path in ("arguments", "input") if store.value(an_id(n), path)]
    assert left == [n for n in range(0 if keep is None else 3, 10) for _ in range(2)]
    assert store.size() == 10
    await store.close()


async def test_the_store_knows_what_it_takes(store: Any, tmp_path: Path) -> None:
    before = store.size_bytes()
    await store.commit(entry(1, artefacts=(Artefact("d", "bundle", b"x" * 100_000),)))
    assert store.size_bytes() - before >= 100_000
    assert store.size_bytes() == sum(f.stat().st_size for f in (tmp_path / "store").iterdir() if "sqlite3" in f.name)


async def test_the_write_goes_on_when_the_waiter_is_cancelled(store: Any) -> None:
    waiter = asyncio.create_task(store.commit(entry(1)))
    await asyncio.sleep(0)  # it is queued now
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert (await store.commit(entry(2))).index == 1
    assert store.record(an_id(1)) is not None


async def test_a_cancelled_waiter_does_not_hold_up_its_batch(store: Any) -> None:
    first, second, third = (asyncio.create_task(store.commit(entry(n))) for n in (1, 2, 3))
    await asyncio.sleep(0)
    second.cancel()
    assert {(await first).index, (await third).index} <= {0, 1, 2}
    assert (await store.commit(entry(4))).index == 3


async def test_an_idle_store_moves_the_log_out_of_the_wal(store: Any, tmp_path: Path) -> None:
    file = tmp_path / "store" / "pdp.sqlite3"
    before = file.stat().st_size
    await asyncio.gather(*(store.commit(entry(n)) for n in range(100)))
    while file.stat().st_size == before:  # noqa: ASYNC110 the store tells nobody when it tidies up
        await asyncio.sleep(0.01)
    assert store.healthy()


async def test_closing_finishes_what_is_queued_and_then_refuses(tmp_path: Any) -> None:
    store = opened(tmp_path)
    waiting = [asyncio.create_task(store.commit(entry(n))) for n in range(200)]
    await asyncio.sleep(0)
    await store.close()
    await store.close()
    assert sorted([(await w).index for w in waiting]) == list(range(200))
    assert not store.healthy()
    with pytest.raises(Unavailable) as e:
        await store.commit(entry(999))
    assert e.value.code == "record.unavailable"
    with pytest.raises(Unavailable):
        store.record(an_id(1))


async def test_a_queue_that_is_full_refuses(tmp_path: Any) -> None:
    store = opened(tmp_path, max_queue=64)
    try:
        results = await asyncio.gather(*(store.commit(entry(n)) for n in range(300)), return_exceptions=True)
        refused = [r for r in results if isinstance(r, Fault)]
        assert refused
        assert {r.code for r in refused} == {"store.overloaded"}
        assert store.size() == 300 - len(refused)
    finally:
        await store.close()


async def test_erasing_a_subject_leaves_no_byte_of_it(tmp_path: Any) -> None:
    store = opened(tmp_path)
    marked = b'{"iban":"ERASE-ME-PLEASE"}'
    for n, subject in ((1, "alice"), (2, "bob"), (3, "alice")):
        values = (
            ValueRow(an_id(n), "acme", subject, "input", b"s", marked if subject == "alice" else b"{}"),
            ValueRow(an_id(n), "acme", subject, "arguments", b"s", b"{}"),
        )
        call = CallRow(f"c{n}", "acme", subject, b"s", "d", AT)
        await store.commit(entry(n, values=values, call=call))
    assert await store.erase_subject("other", "alice") == 0
    assert store.value(an_id(1), "input").data == marked
    assert await store.erase_subject("acme", "alice") == 6
    assert store.value(an_id(1), "input") is store.call("c3") is None
    assert store.value(an_id(2), "arguments") is not None
    assert store.call("c2") is not None
    assert store.size() == 3
    # a process of its own: closing the file in this one would drop SQLite's locks
    found = await asyncio.to_thread(
        subprocess.run, ["grep", "-rl", "ERASE-ME", str(tmp_path)], capture_output=True, check=False
    )
    assert (found.returncode, found.stdout) == (1, b"")
    with pytest.raises(InvalidRequest):
        await store.erase_subject("acme", "")
    await store.close()


async def test_the_log_is_append_only_for_sql_too(store: Any) -> None:
    await store.commit(entry(1))
    for statement in ("UPDATE records SET tenant = 'x'", "DELETE FROM records"):
        with pytest.raises(Unavailable) as e:
            await store._writer.submit(lambda s=statement: store._opened.writer.execute(s).rowcount)
        assert "append-only" in e.value.detail
    assert store.record_at(0).tenant == "acme"


async def test_directory_and_files_are_private(store: Any, tmp_path: Any) -> None:
    await store.commit(entry(1))
    directory = tmp_path / "store"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {f.name: stat.S_IMODE(f.stat().st_mode) for f in directory.iterdir()}
    assert set(modes) == {"lock", "pdp.sqlite3", "pdp.sqlite3-wal", "pdp.sqlite3-shm"}
    assert set(modes.values()) == {0o600}


async def test_a_second_writer_is_locked_out(store: Any, tmp_path: Any) -> None:
    with pytest.raises(ConfigurationFault) as e:
        opened(tmp_path)
    assert e.value.code == "store.locked"
    assert store.healthy()


def _damage(path: Any, *statements: Any) -> None:
    db = sqlite3.connect(path / "store" / "pdp.sqlite3")
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (["PRAGMA user_version=999"], "store.schema"),
        (["PRAGMA application_id=5"], "store.foreign"),
        (["DROP TRIGGER records_stay", "DELETE FROM records WHERE idx = 1"], "store.corrupt"),
        (["DROP TRIGGER records_stay_as_written", "UPDATE records SET bytes = x'00' WHERE idx = 2"], "store.corrupt"),
    ],
)
async def test_a_file_that_is_not_as_we_left_it_is_refused(tmp_path: Any, damage: Any, code: Any) -> None:
    store = opened(tmp_path)
    for n in range(3):
        await store.commit(entry(n))
    await store.close()
    _damage(tmp_path, *damage)
    with pytest.raises(Fault) as e:
        opened(tmp_path)
    assert e.value.code == code


async def test_a_file_of_junk_is_refused(tmp_path: Any) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / "pdp.sqlite3").write_bytes(b"junk" * 2000)
    with pytest.raises(Unavailable) as e:
        opened(tmp_path)
    assert e.value.code == "store.unreadable"
    assert str(tmp_path) not in e.value.message


async def test_a_creation_that_was_cut_short_is_begun_again(tmp_path: Any) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    db = sqlite3.connect(tmp_path / "store" / "pdp.sqlite3")
    db.execute("PRAGMA journal_mode=WAL")
    db.close()
    store = opened(tmp_path)
    assert (await store.commit(entry(1))).index == 0
    await store.close()


async def test_a_directory_others_may_write_is_refused(tmp_path: Any) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o770)
    with pytest.raises(ConfigurationFault) as e:
        opened(tmp_path)
    assert e.value.code == "store.permissions"


async def test_a_path_that_is_a_file_is_refused(tmp_path: Any) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(ConfigurationFault) as e:
        opened(tmp_path)
    assert e.value.code == "store.path"


async def test_another_origin_than_configured_is_refused(tmp_path: Any) -> None:
    store = opened(tmp_path, origin="example.org/log")
    assert store.origin == "example.org/log"
    await store.close()
    with pytest.raises(ConfigurationFault) as e:
        opened(tmp_path, origin="example.org/other")
    assert e.value.code == "store.origin"
    again = opened(tmp_path)  # the refused start let go of the lock
    assert again.origin == "example.org/log"
    await again.close()


@pytest.mark.parametrize("path", [":memory:", "file:x?mode=memory"])
def test_a_store_in_memory_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match="on disk"):
        StoreOptions(path=path)


@pytest.mark.parametrize("origin", ["", "a b", "a+b", "a\nb", "/x"])
def test_an_origin_that_no_checkpoint_can_carry_is_refused(origin: Any) -> None:
    with pytest.raises(ValueError, match="origin"):
        StoreOptions(origin=origin)


async def test_a_stall_by_a_foreign_lock_heals(tmp_path: Any) -> None:
    store = opened(tmp_path, probe_seconds=0.05)
    await store.commit(entry(1))
    foreign = sqlite3.connect(tmp_path / "store" / "pdp.sqlite3", isolation_level=None)
    # closed in this process only after the store: closing drops the POSIX locks of the whole process
    await store._writer.submit(lambda: store._opened.writer.execute("PRAGMA busy_timeout=0").fetchall())
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable) as e:
        await store.commit(entry(2))
    assert e.value.code == "record.unavailable"
    assert not store.healthy()
    with pytest.raises(Unavailable):
        await store.commit(entry(3))
    foreign.execute("ROLLBACK")
    while not store.healthy():  # noqa: ASYNC110 the store tells nobody when it heals
        await asyncio.sleep(0.01)
    assert (await store.commit(entry(4))).index == 1
    assert store.record(an_id(2)) is None
    await store.close()
    foreign.close()


async def test_a_bug_in_the_writer_refuses_the_batch_and_stays(store: Any) -> None:
    def bug() -> None:
        raise KeyError("bug")

    work = store._writer.submit(lambda: 0, after=bug)
    results = await asyncio.gather(store.commit(entry(1)), work, return_exceptions=True)
    assert [r.code for r in results] == ["record.unavailable"] * 2
    assert not store.healthy()
    with pytest.raises(Unavailable):
        await store.commit(entry(2))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=st.lists(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 50)), max_size=9), max_size=6))
def test_indexes_are_dense_and_marks_never_go_back(tmp_path_factory: Any, plan: Any) -> None:
    """Any order of commits, with ids used again and marks in any order, several at once."""

    async def run(path: Any) -> None:
        store = SqliteStore.open(StoreOptions(path=path), entropy=Entropy())
        seen, mark = {}, 0
        for wave in plan:
            commits = [store.commit(entry(n, high_water=(("clock", value),))) for n, value in wave]
            for (n, value), result in zip(wave, await asyncio.gather(*commits, return_exceptions=True), strict=True):
                assert isinstance(result, Fault) == (n in seen)
                if n not in seen:
                    seen[n] = result
                    mark = max(mark, value)
            assert store.high_water("clock") == mark
        await store.close()
        again = SqliteStore.open(StoreOptions(path=path), entropy=Entropy())
        assert sorted(r.index for r in seen.values()) == list(range(again.size()))
        assert all(again.record(an_id(n)).ref == ref for n, ref in seen.items())
        assert again.high_water("clock") == mark
        await again.close()

    asyncio.run(run(tmp_path_factory.mktemp("log") / "s"))


async def test_two_event_loops_may_commit(store: Any) -> None:
    def elsewhere() -> Any:
        return asyncio.run(_many(store, range(100, 150)))

    here, there = await asyncio.gather(_many(store, range(50)), asyncio.to_thread(elsewhere))
    assert sorted(r.index for r in here + there) == list(range(100))


async def _many(store: Any, numbers: Any) -> Any:
    return await asyncio.gather(*(store.commit(entry(n)) for n in numbers))


async def test_refusals_beyond_the_quota_survive_a_crash_until_recorded(tmp_path: Any) -> None:
    store = opened(tmp_path, refusals_per_minute=2)
    noted = [store.note_refusal("acme", "gw", "caller.role", AT) for _ in range(5)]
    assert noted == [True, True, False, False, False]
    await store.commit(entry(1))
    await store.close()  # nobody took the counts
    store = opened(tmp_path, refusals_per_minute=2)
    assert store.aggregated_refusals() == (("acme", "gw", "caller.role", 3),)
    assert store.aggregated_refusals() == ()
    await store.commit(entry(2, kind="refusals"))
    await store.close()
    store = opened(tmp_path)
    assert store.aggregated_refusals() == ()
    await store.close()


def test_entropy_of_the_process_is_not_used(monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.setattr(os, "urandom", None)
    store = opened(tmp_path)
    assert store.origin.startswith("pdp/")
    assert len(store.boot) == 32
    asyncio.run(store.close())


async def test_entries_that_stand_together_are_all_there(store: Any) -> None:
    await store.commit(entry(0))
    made = (entry(1, reply=a_reply("k1")), entry(2, switch=a_switch()), entry(3, high_water=(("clock", 7),)))
    refs = await store.commit_all(made)
    assert [ref.index for ref in refs] == [1, 2, 3]
    assert [store.record_at(i).record for i in (1, 2, 3)] == [e.record for e in made]
    assert store.size() == 4
    assert store.reply("k1") is not None
    assert store.switches() == (a_switch(),)
    assert store.high_water("clock") == 7


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_one_entry_that_cannot_be_written_takes_the_others_with_it(store: Any, bad: Any) -> None:
    await store.commit(entry(0))
    store.note_refusal("acme", "gw", "caller.role", AT)
    together = [
        entry(1, reply=a_reply("k1"), high_water=(("clock", 9),)),
        entry(2, switch=a_switch()),
        entry(3, kind="refusals", call=CallRow("idx", "acme", "alice", b"salt", "digest", AT)),
    ]
    together.insert(bad, entry(0))  # its id is taken
    # others of the same transaction are not touched
    alone, whole, after = await asyncio.gather(
        store.commit(entry(7)), store.commit_all(tuple(together)), store.commit(entry(8)), return_exceptions=True
    )
    assert whole.code == "store.entry"
    assert (alone.index, after.index) == (1, 2)
    assert store.size() == 3
    assert [store.record(an_id(n)) for n in (1, 2, 3)] == [None] * 3
    assert store.reply("k1") is store.call("idx") is None
    assert (store.switches(), store.switch_epoch(), store.high_water("clock")) == ((), 0, 0)
    refs = await store.commit_all((entry(1), entry(2)))
    assert [ref.index for ref in refs] == [3, 4]


async def test_entries_that_stand_together_share_one_sync(tmp_path: Any) -> None:
    found = opened(tmp_path)
    commits = []
    try:
        found._opened.writer.set_trace_callback(commits.append)
        await found.commit_all(tuple(entry(n) for n in range(1, 65)))
    finally:
        await found.close()
    upto = commits[: commits.index("COMMIT") + 1]
    assert sum(said.startswith("INSERT INTO records") for said in upto) == 64


async def test_nothing_of_a_failed_disk_is_told(store: Any) -> None:
    await store.commit(entry(0))
    store._opened.writer.execute("PRAGMA query_only = 1")
    with pytest.raises(Unavailable) as e:
        await store.commit_all((entry(1), entry(2)))
    assert e.value.code == "record.unavailable"
    assert store.size() == 1
