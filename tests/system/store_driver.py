"""A small process with the real store, for tests that trace, injure or kill it.

    store_driver.py DIRECTORY ANSWERS_FD COUNT CONCURRENCY [unsynced] [limit=BYTES]

Commits COUNT records and writes one line per event to ANSWERS_FD: the record's id and index once its commit
returned, `refused CODE HEALTHY` when it did not. `unsynced` takes the sync away (the control of the order check);
`limit` bounds the size of any file, which the disk then refuses as if it were full.
"""

import asyncio
import os
import resource
import sys
from pathlib import Path

from pdp.core.errors import Unavailable
from pdp.core.ports.commit import Commit, RaiseMark
from pdp.core.record.encoding import uuid7
from pdp.core.rows.log import CallRow, ReplyRow, ValueRow
from pdp.store.options import StoreOptions
from pdp.store.sqlite import opening as schema
from pdp.store.sqlite.store import SqliteStore

AT = 1_800_000_000_000_000_000


class Entropy:
    """The kernel's."""

    def bytes(self, count: int) -> bytes:
        return os.urandom(count)


def entry() -> Commit:
    """A commit of ordinary size that touches every table a decision touches."""
    record_id = uuid7(AT, os.urandom(8))
    record = b'{"id":"%s","pad":"%s"}' % (record_id.encode(), b"x" * 1200)
    return Commit(
        record_id,
        "decision",
        "acme",
        AT,
        record,
        (
            RaiseMark("clock", AT),
            ValueRow(record_id, "acme", "subject", "input", b"s" * 32, b"i" * 1500),
            CallRow(os.urandom(16).hex(), "acme", "subject", b"s" * 32, "d" * 64, AT),
            ReplyRow(os.urandom(16).hex(), "c", "decide", "allow", b"r" * 200, "e", AT, AT),
        ),
    )


async def run(directory: Path, answers: int, count: int, concurrency: int) -> None:
    store = SqliteStore.open(StoreOptions(path=directory, probe_seconds=0.05), entropy=Entropy())
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            made = entry()
            try:
                ref = await store.commit(made)
            except Unavailable as e:
                os.write(answers, f"refused {e.code} {store.healthy()}\n".encode())
                await asyncio.sleep(0.01)  # time for a stall to heal, as a caller that retries would give
            else:
                os.write(answers, f"{made.record_id} {ref.index}\n".encode())

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    os.write(answers, f"end {store.healthy()}\n".encode())
    await store.close()


def main(arguments: list[str]) -> None:
    directory, answers, count, concurrency, *options = arguments
    if "unsynced" in options:
        changed = [p.replace("synchronous=FULL", "synchronous=OFF") for p in schema.WRITER_PRAGMAS]
        schema.WRITER_PRAGMAS = tuple(changed)
    for option in options:
        if option.startswith("limit="):
            limit = int(option.removeprefix("limit="))
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    asyncio.run(run(Path(directory), int(answers), int(count), int(concurrency)))


if __name__ == "__main__":
    main(sys.argv[1:])
