"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pdp.host.durable import SyncFailed, make_secret


def test_a_secret_is_its_owners_and_made_once(tmp_path: Path) -> None:
    place = tmp_path / "index.key"
    make_secret(place, b"first")
    assert (place.read_bytes(), place.stat().st_mode & 0o777) == (b"first", 0o600)
    make_secret(place, b"second")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("index.key", b"first")]


def test_what_is_left_of_a_killed_process_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".index.key.new").write_bytes(b"fir")
    make_secret(tmp_path / "index.key", b"x")
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("index.key", b"x")]


def test_a_secret_that_may_not_be_on_the_disk_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(SyncFailed):
        make_secret(tmp_path / "index.key", b"x")
    assert not (tmp_path / "index.key").exists()
