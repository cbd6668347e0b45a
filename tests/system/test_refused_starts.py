"""A start on a disk that cannot be used: one plain line, and a next step that is there."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner
from served import clean_environment, make_world, serve_command, served, store_file

from devtools.sandbox import Sandbox
from pdp.cli.main import cli

ROOT = Path(__file__).parents[2]
MOUNT = """mount -t tmpfs -o size={size} tmpfs "$0" && cp -a "$1"/. "$0" && {then} && shift && exec "$@" """


def mounted(world: Sandbox, size: str, then: str) -> list[str]:
    """The server on a disk of its own, on which its store is, and on which `then` was done."""
    store = store_file(world).parent
    kept = shutil.copytree(store, world.folder / "kept")
    script = MOUNT.format(size=size, then=then)
    command = serve_command(world, world.folder / "ready")
    return ["unshare", "--mount", "--map-root-user", "sh", "-c", script, str(store), str(kept), *command]


def refused(command: list[str]) -> tuple[str, str]:
    """The fault of a start, and its next step."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=clean_environment())
    *_, fault, then = done.stderr.splitlines()
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    return fault, then.removeprefix("next: ")


def there(step: str) -> bool:
    """Whether a next step can be taken: a page of ours, or a command that has a help."""
    if step.startswith("docs/"):
        return (ROOT / step.partition("#")[0]).is_file()
    return CliRunner().invoke(cli, [*step.split()[1:], *(() if "--help" in step else ("--help",))]).exit_code == 0


@pytest.fixture
def world(tmp_path: Path) -> Sandbox:
    made = make_world(tmp_path / "w")
    with served(made) as server:
        server.decide()
    return made


def test_a_disk_that_cannot_be_written(world: Sandbox) -> None:
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    fault, then = refused(mounted(world, "8m", 'mount -o remount,ro "$0"'))
    assert re.match(r"store\.path: .*Read-only file system", fault), fault
    assert there(then), then


def test_a_disk_that_is_full(world: Sandbox) -> None:
    if subprocess.run(["unshare", "--mount", "--map-root-user", "true"], check=False).returncode:
        pytest.skip("mounting is not permitted here")
    full = '{ cat /dev/zero > "$0/filler" || true; }'
    fault, then = refused(mounted(world, "8m", full))
    assert re.match(r"store\.unreadable: .*SQLITE_.*the disk is full: make room", fault), fault
    assert there(then), then


def test_a_log_that_is_damaged(world: Sandbox) -> None:
    with closing(sqlite3.connect(store_file(world), isolation_level=None)) as db:
        db.execute("DROP TRIGGER records_stay_as_written")
        db.execute("UPDATE records SET bytes = x'00' WHERE idx = 0")
    fault, then = refused(serve_command(world, world.folder / "ready"))
    assert fault.startswith("store.corrupt: ")
    assert there(then), then
    store_file(world).write_bytes(b"no database" * 1000)
    fault, then = refused(serve_command(world, world.folder / "ready"))
    assert re.match(r"store\.unreadable: .*SQLITE_NOTADB", fault), fault
    assert there(then), then
