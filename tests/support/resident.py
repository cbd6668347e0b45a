"""The processes behind hooks: which serve a state folder, and their end."""

from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

from pdp.local.resident import LOCK


def residents(state: Path) -> list[int]:
    """The ids of those of one folder, by their command lines."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"serve" in words and os.fsencode(state) in words:
            found.append(int(path.parent.name))
    return found


def end_residents(state: Path, number: signal.Signals = signal.SIGTERM) -> None:
    """End them, and wait for it."""
    while pids := residents(state):
        for pid in pids:
            os.kill(pid, number)
        with (state / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
