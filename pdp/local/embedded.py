"""The decision point inside another process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc

from pdp.core.errors import ConfigurationFault, Fault
from pdp.runtime import bootstrap
from pdp.runtime.config import settings
from pdp.runtime.environment import Environment

log = logging.getLogger("pdp")
START_SECONDS = 60.0


@asynccontextmanager
async def decision_point(
    config: Path, target: str, over: asyncio.Event, environment: Environment
) -> AsyncIterator[Awaitable[None]]:
    """A decision point that answers at `target`, for as long as the context. What it gives is done when it answers,
    and raises Fault when it does not start; `over` is set when it does not serve any more."""
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(config, stop, environment))
    serving.add_done_callback(lambda _: over.set())
    answers = asyncio.create_task(_answers(target, serving))
    try:
        yield answers
    finally:
        stop.set()
        answers.cancel()
        await asyncio.gather(serving, answers, return_exceptions=True)


async def _serve(config: Path, stop: asyncio.Event, environment: Environment) -> None:
    try:
        await bootstrap.run(settings.load(config, {}), environment, stop=stop)
    except Fault as fault:
        log.error("the decision point ended, nothing passes: %s: %s", fault.code, fault.message)
        raise


async def _answers(target: str, serving: asyncio.Task[None]) -> None:
    """Until somebody answers there. It serves only when it has a policy, so a connection is enough."""
    async with grpc.aio.insecure_channel(target) as channel:
        ready = asyncio.ensure_future(channel.channel_ready())
        try:
            await asyncio.wait((ready, serving), timeout=START_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            if not ready.done():
                raise ConfigurationFault("local.start", "The decision point did not start in time.")
        finally:
            ready.cancel()
            await asyncio.gather(ready, return_exceptions=True)
