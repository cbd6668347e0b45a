"""The load generator, a process of its own: `python -m devtools.bench.driver`.

One JSON object a line in, one a line out (see `Load` and `LoadResult`); ends with its input. A closed loop keeps a
number of calls under way; an open loop sends at a fixed rate and counts each call's time from the moment it was due,
so that a server that stalls is charged for the calls that had to wait.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import grpc
import grpc.aio

from devtools.bench.figures import percentile

CHANNELS = 4
TIMEOUT = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class Load:
    """What to do. `request`: one encoded question, base64; `items` of them make a batch. `rate` per second makes it
    an open loop."""

    target: str
    token: str
    method: str  # Decide | DecideBatch | FilterTools
    request: str
    seconds: float
    in_flight: int = 64
    items: int = 0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came back. `answers` counts them by effect; those of a list by the number of tools in it."""

    calls: int
    seconds: float
    answers: dict[str, int]
    p50_us: float
    p99_us: float


class _Round:
    def __init__(self, load: Load) -> None:
        self._load = load
        self._template = base64.b64decode(load.request)
        self._ids = itertools.count()
        self._prefix = f"{time.time_ns():x}-"
        self._metadata = (("authorization", f"Bearer {load.token}"),)
        self._took: list[float] = []
        self._answers: Counter[str] = Counter()

    async def run(self) -> LoadResult:
        load, options = self._load, [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        channels = [grpc.aio.insecure_channel(load.target, options=options) for _ in range(CHANNELS)]
        calls: list[Any] = [
            c.unary_unary(f"/pdp.v1.DecisionService/{load.method}", None, _read(load.method)) for c in channels
        ]
        for call in calls[: load.in_flight]:  # connect
            await self._one(call, time.perf_counter())
        self._took.clear()
        self._answers.clear()
        began = time.perf_counter()
        await (self._open(calls) if load.rate else self._closed(calls))
        seconds = time.perf_counter() - began
        for channel in channels:
            await channel.close()
        took = sorted(self._took)
        p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
        return LoadResult(len(took), seconds, dict(self._answers), p50 * 1e6, p99 * 1e6)

    async def _closed(self, calls: list[Any]) -> None:
        ends = time.perf_counter() + self._load.seconds

        async def caller(call: Any) -> None:
            while (now := time.perf_counter()) < ends:
                await self._one(call, now)

        await asyncio.gather(*(caller(calls[i % len(calls)]) for i in range(self._load.in_flight)))

    async def _open(self, calls: list[Any]) -> None:
        began, tasks = time.perf_counter(), set[asyncio.Task[None]]()
        for i in range(int(self._load.rate * self._load.seconds)):
            due = began + i / self._load.rate
            if (left := due - time.perf_counter()) > 0:
                await asyncio.sleep(left)
            tasks.add(asyncio.create_task(self._one(calls[i % len(calls)], due)))
        await asyncio.gather(*tasks)

    async def _one(self, call: Any, since: float) -> None:
        try:
            answer: str = await call(self._encoded(), metadata=self._metadata, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            self._answers[error.code().name] += 1
        else:
            self._took.append(time.perf_counter() - since)
            self._answers[answer] += 1

    def _encoded(self) -> bytes:
        if not self._load.items:
            return self._question()
        return b"".join(_embedded(self._question()) for _ in range(self._load.items))

    def _question(self) -> bytes:
        # request_id is field 1 everywhere, and a field that stands twice takes its last value
        return self._template + _embedded(f"{self._prefix}{next(self._ids)}".encode())


def _embedded(value: bytes) -> bytes:
    """`value` as field 1 of a message: tag, length as a varint, bytes."""
    length, encoded = len(value), bytearray(b"\x0a")
    while length > 0x7F:
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded) + value


def _read(method: str) -> Callable[[bytes], str]:
    """Reads a response and says what it comes to."""
    from pdp.v1 import decision_pb2, types_pb2  # noqa: PLC0415 - the load generator alone needs it

    def decided(data: bytes) -> str:
        return types_pb2.Effect.Name(decision_pb2.DecideResponse.FromString(data).effect)

    def batch(data: bytes) -> str:
        items = decision_pb2.DecideBatchResponse.FromString(data).items
        return "+".join(sorted({types_pb2.Effect.Name(item.response.effect) for item in items}))

    def tools(data: bytes) -> str:
        return str(len(decision_pb2.FilterToolsResponse.FromString(data).tools))

    return {"Decide": decided, "DecideBatch": batch, "FilterTools": tools}[method]


def main() -> None:
    """Obey until the input ends."""
    for line in sys.stdin:
        seen = asyncio.run(_Round(Load(**json.loads(line))).run())
        print(json.dumps(asdict(seen)), flush=True)


if __name__ == "__main__":
    main()
