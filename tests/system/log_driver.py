"""A small process with the real store and its signed log, for faults at each file system call.

    log_driver.py DIRECTORY ANSWERS_FD COUNT EVERY

Commits COUNT records one by one and publishes the log after EVERY of them. Writes a line `ID INDEX` to ANSWERS_FD
once a commit returned, `refused CODE` where it did not, and `published SIZE` or `unpublished` after a publication.
"""

import asyncio
import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from store_driver import Entropy, entry

from pdp.core.errors import Fault, Unavailable
from pdp.proof.publisher import Publisher
from pdp.proof.tiles import LogFolder
from pdp.store.options import StoreOptions
from pdp.store.sqlite.store import SqliteStore

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def publisher(store: SqliteStore, folder: Path) -> Publisher:
    return Publisher(store, LogFolder(folder), KEY)


async def run(directory: Path, answers: int, count: int, every: int) -> None:
    options = StoreOptions(path=directory / "store", origin="example.com/log", probe_seconds=0.05)
    store = SqliteStore.open(options, entropy=Entropy())
    log = publisher(store, directory / "log")
    await log.check()
    for n in range(1, count + 1):
        made = entry()
        try:
            ref = await store.commit(made)
            os.write(answers, f"{made.record_id} {ref.index}\n".encode())
        except Unavailable as e:
            os.write(answers, f"refused {e.code}\n".encode())
        if n % every:
            continue
        try:
            os.write(answers, f"published {(await log.publish()).size}\n".encode())
        except (Fault, OSError):
            os.write(answers, b"unpublished\n")
    await store.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), *map(int, sys.argv[2:])))
