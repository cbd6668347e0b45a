"""A process that commits waves of entries until it is killed, and says which wave is durable.

endless.py FIRST OPTIONS
"""

import asyncio
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.stored import AT, Entropy, a_grant, a_reply, an_approval, an_id, entry, shown_of

from pdp.core.approvals.steps import Open
from pdp.core.ports.commit import Commit, RaiseMark
from pdp.core.rows.log import ValueRow
from pdp.store.opening import open_store
from pdp.store.options import StoreOptions

WAVE = 20


def made(n: int) -> Commit:
    """One entry that touches many tables."""
    approval = an_approval(n)
    steps = (Open(approval, shown_of(approval)), a_grant(n))
    value = ValueRow(an_id(n), "acme", "alice", "input", b"s", b"{}")
    return entry(n, RaiseMark("clock", AT + n), *steps, value, a_reply(f"k{n}"))


async def main(first: int, options: str) -> None:
    store = open_store(StoreOptions(**json.loads(options)), entropy=Entropy(os.urandom(8).hex()))
    while True:
        await asyncio.gather(*(store.commit(made(n)) for n in range(first, first + WAVE)))
        first += WAVE
        sys.stdout.write(f"{first}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
