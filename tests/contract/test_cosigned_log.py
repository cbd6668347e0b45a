"""The signed log with witnesses, on both stores: real witnesses behind real listeners, and a verifier that shares
nothing with either."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import c2sp
from support.signed_log import publisher, reading, verified, write
from support.stored import AT
from support.witnesses import FRESH, cosigning, watching

from pdp.core.rows.log import Cosigning
from pdp.proof.publisher import RolledBack
from pdp.store.opening import AnyStore


async def test_each_checkpoint_is_cosigned_and_each_witness_sees_all_of_the_log_grow(
    store: AnyStore, tmp_path: Path
) -> None:
    async with AsyncExitStack() as left:
        both = [await left.enter_async_context(watching(store.origin, n)) for n in (1, 2)]
        policy = "".join(each.line(f"w{n}") for n, each in enumerate(both)) + "group g all w0 w1\nquorum g\n"
        log = cosigning(store, tmp_path / "log", policy)
        assert await log.check() is None
        for first, last in ((0, 1), (1, 3), (3, 255), (255, 256), (256, 257), (257, 600)):
            await write(store, first, last)
            head = await log.publish()
            assert (tmp_path / "log/checkpoint").read_text() == head.note
            for each in both:
                assert abs(c2sp.cosigned_at(head.note.encode(), each.vkey) - time.time()) < 60
        assert len(verified(tmp_path / "log", log)) == 600
        asked = [len(each.statuses) for each in both]
        again = cosigning(store, tmp_path / "log", policy)  # a restart: who knows what is asked first
        assert (await again.check()) is not None
        assert (await again.publish()).size == 600
        assert [len(each.statuses) for each in both] == [n + 2 for n in asked]
        await log.publish()
        assert [len(each.statuses) for each in both] == [n + 2 for n in asked]  # nothing is due


AWAY = (500, "", "text/plain")


class Clock:
    """A clock that is moved by hand, in seconds."""

    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


async def test_cosignatures_are_renewed_and_one_witness_may_be_away(
    store: AnyStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    now, waiting = Clock(1_790_000_000.0), Clock(100.0)
    origin, note = store.origin, tmp_path / "log/checkpoint"
    async with watching(origin, 1, now) as good, watching(origin, 2, now) as bad:
        policy = f"{good.line('good')}{bad.line('bad')}group g all good bad\nquorum g\n"
        log = cosigning(store, tmp_path / "log", policy, seconds=now, monotonic=waiting)
        bad.says = AWAY
        await write(store, 0, 3)
        await log.check()
        assert log.cosigning is None
        head = await log.publish()
        assert log.cosigning == Cosigning(3, AT, ("bad",))
        assert c2sp.cosigned_at(head.note.encode(), good.vkey) == int(now.at)
        with pytest.raises(c2sp.Rejected):
            c2sp.cosigned_at(head.note.encode(), bad.vkey)
        assert "log: witnesses: the checkpoint is not cosigned by the quorum" in caplog.text
        assert "bad answers 500" in caplog.text
        asked = [len(good.statuses), len(bad.statuses)]
        now.at += FRESH // 2  # as long as none is due
        await log.publish()
        assert [len(good.statuses), len(bad.statuses)] == asked
        now.at += 1
        head = await log.publish()
        assert [len(good.statuses), len(bad.statuses)] == [
            asked[0] + 1,
            asked[1],
        ]  # a failed one, after a pause
        assert log.cosigning == Cosigning(3, AT, ("bad",))  # as long as it lasts
        assert c2sp.cosigned_at(head.note.encode(), good.vkey) == int(now.at)
        good.says, written = AWAY, note.stat().st_mtime_ns
        now.at += FRESH
        await log.publish()
        assert note.stat().st_mtime_ns == written  # nothing came, so nothing is written
        assert log.cosigning == Cosigning(3, AT, ("bad",))
        now.at += 1
        waiting.at += 60
        await log.publish()
        assert log.cosigning == Cosigning(3, AT, ("good", "bad"))  # what is too old does not count
        good.says = bad.says = None
        waiting.at += 60
        head = await log.publish()
        assert note.read_text() == head.note
        assert {c2sp.cosigned_at(head.note.encode(), each.vkey) for each in (good, bad)} == {int(now.at)}
        assert log.cosigning == Cosigning(3, 0, ())


WRONG_ANSWERS = [
    (200, "", "text/plain"),
    (200, "\N{EM DASH} w.example/1 AAAAAAAAAAAA\n", "text/plain"),
    (200, "\n\npdp/other\n9\n", "text/plain"),
    (200, "x" * 100_000, "text/plain"),
    (409, "", "text/x.tlog.size"),
    (409, "-1\n", "text/x.tlog.size"),
    (409, "9" * 30 + "\n", "text/x.tlog.size"),
    (302, "", "text/plain"),
    (403, "", "text/plain"),
    (404, "", "text/plain"),
]


@pytest.mark.parametrize("says", WRONG_ANSWERS)
async def test_a_witness_that_answers_nonsense_changes_nothing(place: Any, tmp_path: Path, says: Any) -> None:
    store = place.open()
    async with watching(store.origin) as one:
        one.says = says
        await write(store, 0, 3)
        log = cosigning(store, tmp_path / "log", one.line("w") + "quorum w\n")
        await log.check()
        note = (await log.publish()).note
        assert note == (await publisher(store, tmp_path / "other").publish()).note
        assert c2sp.verify_log(reading(tmp_path / "log"), log.verifier.text())


async def test_a_log_that_a_witness_knows_more_of_does_not_start(place: Any, tmp_path: Path) -> None:
    """Store and folder both are older copies; only the witness is not the operator's."""
    store = place.open()
    async with watching(store.origin) as one:
        policy = one.line("w") + "quorum w\n"
        await write(store, 0, 20)
        await cosigning(store, tmp_path / "log", policy).publish()
        one.says = (409, "21\n", "text/x.tlog.size")
        lost = cosigning(store, tmp_path / "empty", policy)
        with pytest.raises(RolledBack) as fault:
            await lost.check()
        assert (fault.value.code, fault.value.witnesses, fault.value.signed) == ("store.rollback", {"w": 21}, None)
        one.says = (409, "20\n", "text/x.tlog.size")
        await lost.check()
        one.says = (409, "21\n", "text/x.tlog.size")  # it did not answer at the start, and now it does
        with pytest.raises(RolledBack):
            await lost.run()
        assert not (tmp_path / "empty/checkpoint").exists()
        for wrong in ((409, "99\n", "text/x.tlog.size"), (422, "", "text/plain")):  # once it agreed, it is wrong
            one.says = None
            running = cosigning(store, tmp_path / "empty", policy)
            size = (await running.publish()).size
            await write(store, size, size + 1)
            one.says = wrong
            assert (await running.publish()).size == size + 1


async def test_a_witness_finds_other_records(place: Any, tmp_path: Path) -> None:
    store = place.open()
    async with watching(store.origin) as one:
        policy = one.line("w") + "quorum w\n"
        await write(store, 0, 20)
        log = cosigning(store, tmp_path / "log", policy)
        await log.publish()
        one.seen = replace(one.seen, root=bytes(32))
        await write(store, 20, 30)
        fresh = cosigning(store, tmp_path / "log", policy)
        await fresh.check()
        with pytest.raises(RolledBack, match="other records"):
            await fresh.publish()
        assert "\n20\n" in (tmp_path / "log/checkpoint").read_text()


async def test_two_processes_under_load_have_one_cosigned_log(place: Any, database: str, tmp_path: Path) -> None:
    """Each asks the same witness, which sees one log grow."""
    if database == "sqlite":
        return
    one, two = place.open(seed="1"), place.open(seed="2")
    async with watching(one.origin) as witness:
        policy = witness.line("w") + "quorum w\n"
        logs = [cosigning(store, tmp_path / name, policy) for store, name in ((one, "one"), (two, "two"))]
        for log in logs:
            await log.check()
        tasks = [asyncio.create_task(log.run()) for log in logs]
        await asyncio.gather(write(one, 0, 700), write(two, 700, 1400))
        async with asyncio.timeout(60):
            await asyncio.gather(*(log.covering(1399) for log in logs))
        assert not any(task.done() for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(60):
            for log in logs:
                while "w.example/1" not in (await log.publish()).note:
                    pass
        entries = [verified(tmp_path / name, log) for name, log in zip(("one", "two"), logs, strict=True)]
        assert entries[0] == entries[1]
        assert len(entries[0]) == 1400
        for log in logs:
            c2sp.cosigned_at(log.latest().note.encode(), witness.vkey)
