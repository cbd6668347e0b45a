"""The corpus of equality: what the product makes of drawn requests, to the byte, to be the same before and after a
change of how it is made.

    python -m support.equal check                 # all worlds; from `tests`, or with it in PYTHONPATH
    python -m support.equal check --worlds 0-2    # some of them
    python -m support.equal show 3 217            # what request 217 of world 3 comes to: compare commits
    python -m support.equal record                # write what is expected anew, for a change that is meant

A world is one running process with everything fixed that it takes from outside: keys, entropy, clocks, people. It is
asked over its socket, and what it stored is read by the store's port, so nothing in between is named here. Of each
request one line is kept: its kind, what it came to, and a digest of the reply, of the records that it committed and
of the values behind them as read back.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.environment import Stage, StillClock
from support.equal_calls import PLAN, Reply, Run
from support.world import WEDNESDAY_NS, Plan, World, serving, signed, unsigned

from devtools.sandbox import Sandbox
from pdp.identity import development
from pdp.local.installation import SIGNERS
from pdp.registry import keys

FOLDER = Path(__file__).parents[1] / "corpora" / "calls"
WORLDS, REQUESTS = 20, 1_000
PATHS = ("arguments", "changes", "effects", "input", "mandate", "rationale", "reason", "result")


class RequestEntropy:
    """Bytes by the request that draws them, by their number, and by how often that many were drawn in it before: what
    one request draws is nothing to the next, nor is what is drawn of another size."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.begin(-1)

    def begin(self, number: int) -> None:
        """From here on those of another request."""
        self._request, self._drawn = number, dict[int, int]()

    def bytes(self, count: int) -> bytes:
        """So many."""
        drawn = self._drawn[count] = self._drawn.get(count, 0) + 1
        return hashlib.shake_256(f"{self._seed}/{self._request}/{count}/{drawn}".encode()).digest(count)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one request came to."""

    kind: str
    reply: Reply
    records: tuple[bytes, ...]
    rows: tuple[Any, ...]

    @property
    def line(self) -> str:
        """As the corpus keeps it."""
        digest = hashlib.sha256()
        for part in (self.reply.data, *self.records, *map(_text, self.rows)):
            digest.update(len(part).to_bytes(8, "big") + part)
        return f"{self.kind} {self.reply.said} {digest.hexdigest()[:16]}"

    def __str__(self) -> str:
        """To be read, and compared line by line."""
        parts = [f"{self.kind} {self.reply.said}", f"reply {self.reply.data.hex()}", str(self.reply.message)]
        parts += (json.dumps(json.loads(record), indent=1, ensure_ascii=False) for record in self.records)
        for row in self.rows:
            parts.append(json.dumps(json.loads(_text(row)), indent=1))
            if row.path == "input":
                parts.append(json.dumps(json.loads(row.data), indent=1, ensure_ascii=False))
        return "\n".join(parts)


def _text(row: Any) -> bytes:
    """A row, whatever it is made of: bytes as hex, so that a key may become bytes."""
    return json.dumps(asdict(row), sort_keys=True, default=lambda each: bytes(each).hex()).encode()


def created(folder: Path, plan: Plan) -> Sandbox:
    """The folder of a world, with keys that are the same in every run."""
    made = unsigned(folder, plan)
    shutil.rmtree(folder / "issuer")
    issuer = development.write_keys(folder / "issuer", hashlib.sha256(b"issuer").digest())
    for name in SIGNERS:
        private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / "keys" / f"{name}.pem").write_bytes(pem)
        (folder / "keys" / f"{name}.pub.pem").write_bytes(keys.public_pem(private))
    return signed(replace(made, key=issuer), plan, WEDNESDAY_NS)


@asynccontextmanager
async def running(number: int, folder: Path) -> AsyncIterator[tuple[World, RequestEntropy]]:
    """One of the worlds, serving."""
    entropy = RequestEntropy(f"world {number}")
    stage = Stage(StillClock(WEDNESDAY_NS), entropy=entropy, approvals=True)  # type: ignore[arg-type]
    async with serving(created(folder / "w", PLAN), PLAN, stage) as world:
        yield world, entropy


async def outcomes(number: int, count: int) -> list[Outcome]:
    """What the first requests of a world come to."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="eq") as folder:  # its path is short: it holds a socket
        async with running(number, Path(folder)) as (world, entropy):
            run, store = Run(world, number), world.process.store
            for at in range(count):
                entropy.begin(at)
                before = store.size()
                kind, reply = await run.next()
                committed = [each for each in map(store.record_at, range(before, store.size())) if each is not None]
                rows = [store.value(each.record_id, path) for each in committed for path in PATHS]
                records = tuple(each.record for each in committed)
                found.append(Outcome(kind, reply, records, tuple(each for each in rows if each is not None)))
    return found


def lines(number: int, count: int) -> list[str]:
    """What the corpus keeps of a world."""
    return [found.line for found in asyncio.run(outcomes(number, count))]


def expected(number: int) -> list[str]:
    """What it kept."""
    return (FOLDER / f"{number:02}.txt").read_text().splitlines()


def difference(number: int, count: int) -> str:
    """The first request of a world that differs from what is expected; empty where none does."""
    for at, (one, other) in enumerate(zip(lines(number, count), expected(number), strict=False)):
        if one != other:
            return f"world {number}, request {at}: expected `{other}`, got `{one}`; support.equal show {number} {at}"
    return ""


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
        if given.command == "record":
            (FOLDER / f"{number:02}.txt").write_text("\n".join(lines(number, REQUESTS)) + "\n")
            said = ""
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
