"""An orderly stop: its last records are signed, the stop included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.consumers import following
from support.waiting import until
from support.world import answered, running

from devtools.sandbox import ALICE
from pdp.host.durable import SyncFailed
from pdp.proof.note import Checkpoint, LogKey, read_private, split
from pdp.proof.tiles import LogFolder
from pdp.proof.verification import read_checkpoint, verify_folder
from pdp.store.options import StoreOptions
from pdp.store.reading import reading


async def test_an_orderly_stop_signs_its_last_records(tmp_path: Path) -> None:
    async with running(tmp_path) as world:
        await answered(world, world.ask(ALICE, "git_status"))
        folder, origin = world.process.settings.store.path, world.process.store.origin
    key = LogKey(origin, read_private((folder / "log.pem").read_bytes()).public_key())
    head = read_checkpoint(folder / "log", (key,))
    verify_folder(folder / "log", head, (), lambda _: None)
    with reading(StoreOptions(path=folder)) as reader:
        *_, (index, _, last) = reader.records()
    assert (head.size, json.loads(last)["kind"]) == (index + 1, "stop")


async def test_a_stop_signs_nothing_after_a_failed_sync(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What a second sync says proves nothing."""
    async with running(tmp_path) as world:
        await answered(world, world.ask(ALICE, "git_status"))
        assert world.process.signed is not None
        folder = world.process.settings.store.path / "log"

        def fails(*_: object) -> None:
            raise SyncFailed(5, "Input/output error")

        with monkeypatch.context() as failing:
            failing.setattr(LogFolder, "extend", fails)
            async with following(world.process):
                await until(lambda: "a sync failed" in caplog.text)
            signed_before = LogFolder(folder).checkpoint()  # none, or of the log before its first record
    assert LogFolder(folder).checkpoint() == signed_before
    assert not signed_before or Checkpoint.read(split(signed_before)[0]).size == 0
