"""The command; see `corpus`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence

from support.equal.corpus import REQUESTS, WORLDS, difference, outcomes, record


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="support.equal")
    parser.add_argument("command", choices=("check", "record", "show"))
    parser.add_argument("which", nargs="*", type=int, help="show: the world, and the request")
    parser.add_argument("--worlds", default=f"0-{WORLDS - 1}", help="such as 3, 0-4 or 1,7")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="check: the first ones of each world")
    given = parser.parse_args(words)
    if given.command == "show":
        world, request = given.which
        sys.stdout.write(f"{asyncio.run(outcomes(world, request + 1))[request]}\n")
        return 0
    differ = 0
    for number in _numbers(given.worlds):
        begun = time.monotonic()
        said = ""
        if given.command == "record":
            record(number)
        else:
            said = difference(number, given.requests)
        differ += bool(said)
        sys.stdout.write(f"{said or f'world {number}'}: {given.command}, {time.monotonic() - begun:.1f} s\n")
        sys.stdout.flush()
    return int(differ > 0)


def _numbers(given: str) -> Iterator[int]:
    for part in given.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


if __name__ == "__main__":
    sys.exit(main())
