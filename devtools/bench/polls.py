"""Cost of long polls for other calls: a Decide while hundreds of them are held, over one without any."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from threading import Event, Thread

import grpc
import grpc.aio

from devtools import sandbox
from devtools.bench.harness import BenchFault, BenchServer
from devtools.bench.scenarios import World
from pdp.v1 import decision_pb2, decision_pb2_grpc, types_pb2

POLLS = 500
ROOM = {"service": {"max_waiting": 2 * POLLS, "shares": sandbox.NO_SHARES}, "server": {"max_concurrent": 4 * POLLS}}
_PER_CHANNEL = 100
_SETTLE_SECONDS = 1.0


@contextlib.contextmanager
def held(server: BenchServer, world: World, count: int = POLLS) -> Iterator[None]:
    """Hold so many long polls on one pending call. Raises BenchFault when one is not held."""
    stop, ready, problems = Event(), Event(), list[str]()

    def run() -> None:
        try:
            asyncio.run(_hold(server, world, count, stop, ready))
        except (grpc.RpcError, RuntimeError) as error:
            problems.append(type(error).__name__)
        finally:
            ready.set()

    thread = Thread(target=run, name="bench-polls", daemon=True)
    thread.start()
    try:
        ready.wait()
        if not problems:
            yield
    finally:
        stop.set()
        thread.join()
    if problems:
        raise BenchFault("bench.polls", f"{server.name}: the long polls were not held ({problems[0]})")


async def _hold(server: BenchServer, world: World, count: int, stop: Event, ready: Event) -> None:
    metadata = (("authorization", f"Bearer {server.token}"),)
    async with contextlib.AsyncExitStack() as stack:
        stubs = []
        for number in range(-(-count // _PER_CHANNEL)):
            options = (("bench.channel", number), ("grpc.use_local_subchannel_pool", 1))
            channel = grpc.aio.insecure_channel(server.target, options=options)
            stubs.append(decision_pb2_grpc.DecisionServiceStub(await stack.enter_async_context(channel)))
        asked = world.destructive()
        asked.request_id = f"reset-{time.monotonic_ns()}"
        answer = await stubs[0].Decide(asked, metadata=metadata, timeout=10)
        if answer.effect != types_pb2.EFFECT_PENDING:
            raise RuntimeError
        wait = decision_pb2.WaitDecisionRequest(resume_token=answer.pending.resume_token, credential=asked.credential)
        tasks = [asyncio.create_task(_poll(stubs[i % len(stubs)], wait, metadata, stop)) for i in range(count)]
        await asyncio.sleep(_SETTLE_SECONDS)
        ready.set()
        while not stop.is_set():
            await asyncio.sleep(0.05)
            for task in tasks:
                if task.done():
                    await task
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _poll(
    stub: decision_pb2_grpc.DecisionServiceAsyncStub,
    wait: decision_pb2.WaitDecisionRequest,
    metadata: tuple[tuple[str, str], ...],
    stop: Event,
) -> None:
    while not stop.is_set():
        await stub.WaitDecision(wait, metadata=metadata, timeout=55)
