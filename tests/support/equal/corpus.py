"""The corpus of equality: what the product makes of drawn requests, to the byte, to be the same before and after a
change of how it is made.

    python -m support.equal check                 # all worlds; from `tests`, or with it in PYTHONPATH
    python -m support.equal check --worlds 0-2    # some of them
    python -m support.equal check --requests 300  # the first ones of each
    python -m support.equal show 3 217            # what request 217 of world 3 comes to: compare commits
    python -m support.equal record                # write what is expected anew, for a change that is meant

A world is one running process with everything fixed that it takes from outside: keys, entropy, clocks, people. It is
asked over its socket, and what it stored is read by the store's port, so nothing in between is named here. Of each
request one line is kept: its kind, what it came to, and a digest of the reply, of the records that it committed and
of the values behind them as read back. At the end follows a line for each table that holds what no record does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import json
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from support.equal import world as worlds
from support.equal.edges import EDGES
from support.equal.kinds import KINDS, TOGETHER
from support.equal.run import Reply, Run
from support.world import serving

FOLDER = Path(__file__).parents[2] / "corpora" / "calls"
WORLDS, REQUESTS = 12, 2_000
BATCHES = (8, 9)  # worlds with batches, apart: what changes of these changes nothing else
PATHS = ("arguments", "changes", "effects", "input", "mandate", "rationale", "reason", "result")
OF_KIND = {"decision": ("arguments", "input"), "list": ("input",), "inspection": ("input", "result")}  # else all
# what is kept of calls, sessions and people besides the records and values
TABLES = (
    "approvals", "atoms", "awaited", "budgets", "calls", "consents", "evidence", "grants", "labels", "mandates",
    "openings", "outcomes", "people", "places", "replies", "reservations", "sessions", "shown", "switches", "votes",
)  # fmt: skip


class RequestEntropy:
    """Bytes by the request that draws them, by their number, and by how often that many were drawn in it before: what
    one request draws is nothing to the next, nor is what is drawn of another size."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self.begin(0, "seed")

    def begin(self, number: int, what: str = "request") -> None:
        """From here on those of another request, or of a start."""
        self._request, self._drawn = f"{what} {number}", dict[int, int]()

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
        reply = self.reply.data.decode() if self.kind == "table" else self.reply.data.hex()
        parts = [f"{self.kind} {self.reply.said}", reply, str(self.reply.message)]
        parts += (json.dumps(json.loads(record), indent=1, ensure_ascii=False) for record in self.records)
        for row in self.rows:
            parts.append(json.dumps(json.loads(_text(row)), indent=1))
            if row.path == "input" and row.data:  # else it is erased
                parts.append(json.dumps(json.loads(row.data), indent=1, ensure_ascii=False))
        return "\n".join(parts)


def _text(row: Any) -> bytes:
    """A row, whatever it is made of: bytes as hex, so that a key may become bytes."""
    return _json(asdict(row))


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, default=lambda each: bytes(each).hex()).encode()


async def outcomes(number: int, count: int) -> list[Outcome]:
    """What the first requests of a world come to. In the middle of a world its process ends and begins anew."""
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="eq") as folder:  # its path is short: it holds a socket
        plan, entropy = worlds.plan(Path(folder), number), RequestEntropy(f"world {number}")
        stage = worlds.stage(number, entropy)
        made = worlds.created(Path(folder) / "w", plan, stage.clock.wall())
        run: Run | None = None
        for first in range(0, min(count, REQUESTS), REQUESTS // 2):
            entropy.begin(first - 1, "start")
            async with serving(made, plan, stage) as world:
                if run is None:
                    more = TOGETHER if number in BATCHES else EDGES if number in worlds.EDGES else {}
                    run = Run(world, number, {**KINDS, **more})
                run.world = world
                for at in range(first, min(count, first + REQUESTS // 2)):
                    entropy.begin(at)
                    found.append(await _outcome(run))
        if count >= REQUESTS:
            found += _tables(made.folder / "store" / "pdp.sqlite3")
    return found


async def _outcome(run: Run) -> Outcome:
    store = run.world.process.store
    before = store.size()
    kind, reply = await run.next()
    committed = [each for each in map(store.record_at, range(before, store.size())) if each is not None]
    records = tuple(each.record for each in committed)
    paths = [OF_KIND.get(json.loads(record)["kind"], PATHS) for record in records]
    rows = [store.value(each.record_id, path) for each, some in zip(committed, paths, strict=True) for path in some]
    return Outcome(kind, reply, records, tuple(each for each in rows if each is not None))


def _tables(path: Path) -> Iterator[Outcome]:
    """What is left in the store, by table; numbers of rows aside."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        for table in TABLES:
            rows = [dict(row) for row in database.execute(f'SELECT * FROM "{table}"')]
            texts = sorted(_json({name: row[name] for name in row if name != "seq"}) for row in rows)
            yield Outcome("table", Reply(table, b"\n".join(texts), f"{len(rows)} rows"), (), ())


def lines(number: int, count: int = REQUESTS) -> list[str]:
    """What the corpus keeps of a world."""
    return [found.line for found in asyncio.run(outcomes(number, count))]


def expected(number: int) -> list[str]:
    """What it kept."""
    return gzip.decompress(_file(number).read_bytes()).decode().splitlines()


def record(number: int) -> None:
    """Keep it anew."""
    text = "".join(f"{line}\n" for line in lines(number))
    _file(number).write_bytes(gzip.compress(text.encode(), mtime=0))


def difference(number: int, count: int = REQUESTS) -> str:
    """The first request of a world that differs from what is expected; empty where none does."""
    pairs = enumerate(zip(lines(number, count), expected(number), strict=False))
    differ = [(at, one, other) for at, (one, other) in pairs if one != other]
    if not differ:
        return ""
    at, one, other = differ[0]
    kinds = Counter(" ".join(line.split()[: 1 + line.startswith("table")]) for _, _, line in differ)
    said = ", ".join(f"{kinds[kind]} {kind}" for kind in kinds)
    where = f"world {number}, request {at}: expected `{other}`, got `{one}` (support.equal show {number} {at})"
    return f"{where}; of all {len(differ)} differ: {said}"


def _file(number: int) -> Path:
    return FOLDER / f"{number:02}.gz"
