"""The consumers of the log as tasks of the test's own process: the same code, without half a second of its start."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pdp.runtime.consumers import Consumers

if TYPE_CHECKING:
    from pdp.runtime.process import Process


@dataclass(frozen=True, slots=True)
class Tasks:
    """Implements `host.child.Child`."""

    task: asyncio.Task[None]

    async def wait(self) -> None:
        await asyncio.wait([self.task])

    def kill(self) -> None:
        self.task.cancel()


async def in_process(theirs: socket.socket) -> Tasks:
    """For `Environment.consumers`."""
    end = socket.socket(fileno=os.dup(theirs.fileno()))
    end.setblocking(False)
    return Tasks(asyncio.create_task(Consumers().serve(end)))


@asynccontextmanager
async def following(process: Process) -> AsyncIterator[None]:
    """A process whose log is followed for a while, as one that serves has it."""
    (work,) = (part.work for part in process.background.parts if part.name == "log process")
    assert work is not None
    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
