"""Backup and restore as docs/store.md has them: a store that went back is found out, and accepted on the record."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from served import ALLOW, make_world, pdp, spawned, store_file, stored, until
from support import c2sp

from devtools.sandbox import Sandbox

PAGE = (Path(__file__).parents[2] / "docs/store.md").read_text()


def signed(world: Sandbox) -> int:
    """How many records the checkpoint in the folder covers."""
    file = world.folder / "store/log/checkpoint"
    return int(file.read_text().split("\n")[1]) if file.exists() else 0


def verifier(world: Sandbox) -> str:
    with closing(sqlite3.connect(f"file:{store_file(world)}?mode=ro", uri=True)) as db:
        (origin,) = db.execute("SELECT value FROM meta WHERE name = 'origin'").fetchone()
    return pdp("audit", "key", str(world.folder / "store/log.pem"), origin.decode()).stdout.strip()


def shown(world: Sandbox, text: str) -> str:
    return text.replace("/var/lib/pdp/store", str(world.folder / "store")).replace("pdp.yaml", str(world.config))


def refused(world: Sandbox) -> str:
    """What a start says that does not come about."""
    with spawned(world, wait=False) as server:
        assert server.wait() == 1
        refusal, _, then = server.log.rpartition("next: ")
        assert then.startswith("pdp ")
        return refusal.splitlines()[-1]


def accept(world: Sandbox) -> tuple[int, str]:
    (line,) = re.findall(r"^    \$ pdp (audit accept-rollback .*)$", PAGE, re.MULTILINE)
    words = re.findall(r'"[^"]*"|\S+', shown(world, line))
    done = pdp(*(word.strip('"') for word in words))
    return done.returncode, done.stdout + done.stderr


def test_a_restored_backup_is_refused_until_it_is_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world(tmp_path / "w")
    monkeypatch.chdir(tmp_path)
    (backup,) = re.findall(r"## Backup.*?```python\n(.*?)```", PAGE, re.DOTALL)
    with spawned(world) as server:
        kept = [server.decide().decision_id for _ in range(3)]
        done = subprocess.run(
            [sys.executable, "-c", shown(world, backup)], capture_output=True, text=True, check=True
        )
        lost = [server.decide() for _ in range(3)]
        until(lambda: signed(world) > lost[-1].record.index)
        status, said = accept(world)
        assert (status, "another process uses this store" in said) == (1, True), said
        server.stop()
    assert re.fullmatch(r"\d+ records\n", done.stdout)
    former, size, before = verifier(world), signed(world), store_file(world).read_bytes()

    rm, cp = (line.split() for line in re.findall(r"^    \$ ((?:rm|cp) .*)$", PAGE, re.MULTILINE))
    for name in rm[2:]:
        Path(shown(world, name)).unlink(missing_ok=True)
    shutil.copy(cp[1], shown(world, cp[2]))
    copied = len(stored(world))
    assert copied < size
    for _ in range(2):
        assert refused(world).startswith(
            f"store.rollback: the checkpoint in audit.folder has {size} records, the store"
        )
        assert len(stored(world)) == copied  # nothing was written
    status, said = accept(world)
    assert (status, said.startswith("log.key: audit.key: signed the records that are gone")) == (1, True), said
    (world.folder / "store/log.pem").unlink()
    status, said = accept(world)
    assert status == 0, said
    assert f"after {copied} records" in said
    assert accept(world)[0] == 10

    with spawned(world) as server:
        answer = server.decide()
        assert answer.effect == ALLOW
        until(lambda: signed(world) > answer.record.index)
        server.stop()
    records = [json.loads(data) for _, data in stored(world)]
    (accepted,) = [record for record in records if record["kind"] == "rollback"]
    old, now = former, verifier(world)
    assert (accepted["records"], accepted["signed"]["size"], accepted["by"]) == (copied, size, "operator")
    assert [(r["before"], r["verifier"]) for r in records if r["kind"] == "log_key"] == [(old, now)]
    ids = {record["id"] for record in records}
    assert set(kept) <= ids
    assert not {each.decision_id for each in lost} & ids
    log = world.folder / "store/log"
    c2sp.verify_log(lambda path: (log / path).read_bytes(), now)
    aside = log / f"rolled-back-{size}"
    entries = c2sp.verify_log(lambda path: (aside / path).read_bytes(), old)
    assert {each.decision_id for each in lost} <= {json.loads(entry)["id"] for entry in entries}
    size, root = c2sp.checkpoint((aside / "checkpoint").read_bytes(), old)
    assert (accepted["signed"]["size"], accepted["signed"]["root"]) == (size, root.hex())

    store_file(world).write_bytes(before)  # and forth again: the newest copy is not the one that was accepted
    for name in ("-wal", "-shm"):
        Path(f"{store_file(world)}{name}").unlink(missing_ok=True)
    assert "store.rollback" in refused(world)
