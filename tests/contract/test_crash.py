"""A process that is killed while it writes leaves whole commits, and every one that it told of."""

import asyncio
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.stored import AT, an_id

from pdp.store.opening import AnyStore

Place = Any  # of conftest, which cannot be imported
PROGRAM = Path(__file__).parent / "endless.py"
KILLS = 3


async def killed(first: int, options: str, chance: random.Random) -> int:
    """Let it write, kill it somewhere; the last wave's end that it told of."""

    def run() -> int:
        command = [sys.executable, str(PROGRAM), str(first), options]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = first
            for _ in range(chance.randrange(1, 5)):
                told = int(process.stdout.readline())
            process.kill()  # while it writes the next wave
            return max([told, *map(int, process.stdout.read().split())])

    return await asyncio.to_thread(run)


async def test_what_a_killed_process_leaves_is_whole(place: Place) -> None:
    options = json.dumps({name: str(value) for name, value in place.where.items()})
    chance, first = random.Random(4), 1
    for _ in range(KILLS):
        told = await killed(first, options, chance)
        store: AnyStore = place.open(seed=str(told))
        assert not store.clean
        first = 1 + whole(store, told, told + 60)
        await store.close()


def whole(store: AnyStore, told: int, end: int) -> int:
    """Of every entry all is there or nothing, and all of what was told; the greatest number that is there."""
    there = [n for n in range(1, end) if store.record(an_id(n)) is not None]
    assert set(range(1, told)) <= set(there)
    for n in range(1, end):
        found = (
            store.approval("acme", an_id(n)),
            store.shown(an_id(n)),
            store.grant("acme", an_id(n)),
            store.value(an_id(n), "input"),
            store.reply(f"k{n}"),
        )
        assert {each is not None for each in found} == {n in there}
    assert store.size() == len(there)
    assert store.high_water("clock") == AT + max(there)
    return max(there)
