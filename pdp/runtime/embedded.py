"""The decision point inside another process: of all that share an installation, one serves, and the others wait for
its place. A lock on the folder says whose turn it is; the kernel gives it back when its holder is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import grpc

from pdp.config import settings
from pdp.core.errors import ConfigurationFault, Fault
from pdp.runtime import bootstrap

log = logging.getLogger("pdp")
LOCK = "serving.lock"
START_SECONDS = 60.0
_EVERY = 0.2  # seconds between looks at the lock


@asynccontextmanager
async def decision_point(config: Path, target: str) -> AsyncIterator[Awaitable[None]]:
    """A decision point that answers at `target`: in this process, or in the one that serves `config` already, whose
    place this one takes when it ends. In between nothing answers. What it gives is done when somebody answers, and
    raises Fault when it does not start."""
    stop = asyncio.Event()
    serving = asyncio.create_task(_serve(config, stop))
    answers = asyncio.create_task(_answers(target, serving))
    try:
        yield answers
    finally:
        stop.set()
        answers.cancel()
        await asyncio.gather(serving, answers, return_exceptions=True)


async def _serve(config: Path, stop: asyncio.Event) -> None:
    """Serve when it is our turn, until `stop`."""
    with (config.parent / LOCK).open("a") as lock:
        while not _taken(lock):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _EVERY)
            if stop.is_set():
                return
        try:
            await bootstrap.run(settings.load(config, {}), stop=stop)
        except Fault as fault:
            log.error("the decision point ended, nothing passes: %s: %s", fault.code, fault.message)
            raise


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


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
