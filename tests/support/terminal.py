"""A person at a terminal: answers what a command asks, one question after the other."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from support.gate import PDP

SILENCE = 90.0  # seconds in which a command on a busy machine says something


def at_terminal(
    arguments: Sequence[str],
    answers: Sequence[tuple[str, str]],
    *,
    folder: Path,
    env: Mapping[str, str] | None = None,
    program: Sequence[str] = PDP,
) -> tuple[int, str]:
    """Exit code and screen of `pdp ARGUMENTS`. Each answer is typed when its question has appeared, in this order."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*program, *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **(env or {})},
        start_new_session=True,
    )
    os.close(theirs)
    screen, seen, left = "", 0, list(answers)
    try:
        while True:
            if not select.select([ours], [], [], SILENCE)[0]:
                raise AssertionError(f"it waits for an answer that nobody gives:\n{screen}")
            try:
                read = os.read(ours, 65536)
            except OSError:  # nobody holds the other end any more
                break
            screen += read.decode(errors="replace")
            while left and (found := screen.find(left[0][0], seen)) >= 0:
                seen = found + len(left[0][0])
                os.write(ours, left.pop(0)[1].encode() + b"\n")
        return process.wait(60), screen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def shows(screen: str, words: str) -> bool:
    """Whether a screen has these words, in whatever colours and wherever their line is broken."""
    return "".join(words.split()) in "".join(re.sub(r"\x1b\[[0-9;]*m", "", screen).split())
