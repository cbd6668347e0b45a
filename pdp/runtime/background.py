"""Background work, and its supervisor: configuration watchers, approval expiry, refusal counters, clock checks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn, Protocol

from pdp.core.errors import Fault
from pdp.core.ports import Judge
from pdp.decide.commit import Recorder
from pdp.operate.quorum import QuorumRecords
from pdp.operate.reload import Reloadable, Reloads
from pdp.operate.runs import Runs
from pdp.proof.search import Readings
from pdp.runtime import instruments as telemetry
from pdp.runtime.approvals import WiredApprovals
from pdp.runtime.config.settings import Settings
from pdp.store.clock import StoreClock

log = logging.getLogger("pdp")


class RunningProcess(Protocol):
    """The parts of a running process that background tasks use."""

    settings: Settings
    reloads: Reloads
    recorder: Recorder
    runs: Runs
    approvals: WiredApprovals
    clock: StoreClock
    readings: Readings
    quorum: QuorumRecords
    levels: telemetry.Levels


class Supervisor:
    """Runs what a process does beside its calls. None of that ends by itself: what does all the same is told, and
    the process is not healthy from then on (`ended`), for a policy that nobody looks for, or a request that nobody
    lets expire, would be missed by nobody."""

    def __init__(self) -> None:
        self.ended: tuple[str, ...] = ()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = False

    def begin(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Run it until the process ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        self.watch(name, task)

    def watch(self, name: str, task: asyncio.Task[Any]) -> None:
        """Look after work that a part of the process runs, and ends, itself."""
        task.add_done_callback(lambda over: self._over(name, over))

    def _over(self, name: str, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if not self._closing:
            self.ended = (*self.ended, name)
            log.critical("%s: has ended; NOT_SERVING until a restart", name, exc_info=failure)

    def close(self) -> None:
        """From here on it may end; what was begun here is ended."""
        self._closing = True
        for task in self._tasks:
            task.cancel()


async def again_and_again(seconds: float, **chores: Callable[[], Awaitable[None]]) -> NoReturn:
    """Do each chore every `seconds`, for as long as the process runs: what one of them raises is told, once while it
    stays the same, and keeps neither the others nor its own next time from coming."""
    said: dict[str, str] = {}
    while True:
        await asyncio.sleep(seconds)
        for name, chore in chores.items():
            problem = ""
            try:
                await chore()
            except Fault as fault:
                problem = f"{fault.code}: {fault.message}"
                if problem != said.get(name):
                    log.error("%s: %s", name, problem)
            except Exception:
                log.exception("%s: internal error; retrying", name)
            said[name] = problem


async def watch(process: RunningProcess, part: Reloadable) -> NoReturn:
    """Look for changes of one part once in a while, each part by itself: gating a policy takes seconds."""
    said = ""

    async def look() -> None:
        nonlocal said
        (result,), _ = await process.reloads((part,), by="")
        problem = f"{result.failure.code}: {result.failure.message}" if result.failure else ""
        if problem != said:
            said = problem
            log.log(logging.ERROR if problem else logging.INFO, "%s: %s", part, problem or "recovered")
        if result.changed and not problem:
            log.info("%s: now %s", part, ", ".join(result.active.values()))

    await again_and_again(process.settings.service.watch_seconds, **{part: look})


async def watch_prompts(judge: Judge, seconds: float) -> NoReturn:
    """Look at the judge's prompts again every `seconds`; those that are broken stay as they were."""
    said: tuple[str, ...] = ()

    async def look() -> None:
        nonlocal said
        before, problems = judge.prompts(), await judge.reload()
        if problems != said:
            said = problems
            log.log(logging.ERROR if said else logging.INFO, "judge prompts: %s", " ".join(said) or "recovered")
        if (now := judge.prompts()) != before:
            log.info("judge prompts: now %s", ", ".join(f"{name} {sha256}" for name, sha256 in now.items()))

    await again_and_again(seconds, prompts=look)


async def tend(process: RunningProcess) -> NoReturn:
    """Write down what was aggregated, tell how things stand, and say when the clock cannot be believed."""
    said = recorded = ""

    async def refusals() -> None:
        await process.runs.refusals()

    async def readings() -> None:
        await process.readings.flush()

    async def sweep() -> None:
        await process.approvals.services.sweep.run_once(process.clock.now_ns())

    async def levels() -> None:
        process.levels.tell(process.clock.paced_ns())
        process.levels.warn(process.clock.paced_ns())

    async def clock() -> None:
        nonlocal said, recorded
        anomaly = process.clock.anomaly()
        if anomaly != said:
            said = anomaly
            log.log(logging.ERROR if anomaly else logging.INFO, "clock: %s", anomaly or "recovered")
        if anomaly != recorded:  # one record for each change; where none can be written now, the next time
            await process.runs.clock_changed(anomaly, process.clock.wall_ns())
            recorded = anomaly

    seconds = process.settings.service.watch_seconds
    chores = {"refusals": refusals, "readings": readings, "sweep": sweep, "levels": levels, "clock": clock}
    await again_and_again(seconds, **chores, witnesses=process.quorum.look)
