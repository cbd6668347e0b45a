"""A closed loop of callers in a process of its own: `... -m pdp.tooling.bench.load TARGET TOKEN SECONDS < request`.

Prints JSON: calls answered, answers by effect, errors, p50 and p99 in microseconds.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

IN_FLIGHT = 64
CHANNELS = 4
METHOD = "/pdp.v1.DecisionService/Decide"


async def run(target: str, token: str, seconds: float, template: bytes) -> dict[str, object]:
    """Keep `IN_FLIGHT` calls under way for `seconds`; every one has a request id of its own."""
    from pdp.v1 import decision_pb2  # noqa: PLC0415 - the load generator alone needs it

    metadata = (("authorization", f"Bearer {token}"),)
    ids = itertools.count()
    effects: Counter[str] = Counter()
    took: list[float] = []
    ends = time.monotonic() + seconds
    # a field that stands twice takes its last value: the id is appended to the encoded request
    prefix = f"{time.time_ns():x}-"

    async def caller(call: Callable[..., Awaitable[Any]]) -> None:
        while time.monotonic() < ends:
            request = template + decision_pb2.DecideRequest(request_id=f"{prefix}{next(ids)}").SerializeToString()
            began = time.perf_counter()
            try:
                answer = await call(request, metadata=metadata, timeout=10)
            except grpc.aio.AioRpcError as error:
                effects[error.code().name] += 1
            else:
                took.append(time.perf_counter() - began)
                effects[str(answer.effect)] += 1

    channels = [
        grpc.aio.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) for _ in range(CHANNELS)
    ]
    calls: list[Any] = [c.unary_unary(METHOD, None, decision_pb2.DecideResponse.FromString) for c in channels]
    await asyncio.gather(*(caller(calls[i % CHANNELS]) for i in range(IN_FLIGHT)))
    for channel in channels:
        await channel.close()
    took.sort()
    return {
        "answered": len(took),
        "effects": dict(effects),
        "p50_us": round(took[len(took) // 2] * 1e6) if took else 0,
        "p99_us": round(took[len(took) * 99 // 100] * 1e6) if took else 0,
    }


if __name__ == "__main__":
    found = asyncio.run(run(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.stdin.buffer.read()))
    print(json.dumps(found))  # noqa: T201 - this is a program
