"""What a running process does without being asked: look for changes, write down what was counted, mind the clock."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from pdp import instruments, people
from pdp.core.errors import Fault
from pdp.ports import Judge
from pdp.service.record import Recorder
from pdp.service.reload import Part, Reloads
from pdp.service.runs import Runs
from pdp.settings import Settings
from pdp.store.clock import StoreClock

log = logging.getLogger("pdp")


class Tended(Protocol):
    """The parts of a process that are looked after."""

    settings: Settings
    reloads: Reloads
    recorder: Recorder
    runs: Runs
    staff: people.Wired
    clock: StoreClock
    levels: instruments.Levels


async def watch(process: Tended, part: Part) -> None:
    """Look for changes of one part once in a while, each part by itself: gating a policy takes seconds."""
    said = ""
    while True:
        await asyncio.sleep(process.settings.service.watch_seconds)
        try:
            (result,), _ = await process.reloads((part,), by="")
        except Fault as fault:
            log.error("%s: %s: %s", part, fault.code, fault.message)
            continue
        except Exception:
            log.exception("%s: a fault of ours; trying again", part)
            continue
        problem = f"{result.failure.code}: {result.failure.message}" if result.failure else ""
        if problem != said:
            said = problem
            log.log(logging.ERROR if problem else logging.INFO, "%s: %s", part, problem or "good again")
        if result.changed and not problem:
            log.info("%s: now %s", part, ", ".join(result.active.values()))


async def watch_prompts(judge: Judge, seconds: float) -> None:
    """Look at the judge's prompts again every `seconds`; those that are broken stay as they were."""
    said: tuple[str, ...] = ()
    while True:
        await asyncio.sleep(seconds)
        before, problems = judge.prompts(), await judge.reload()
        if problems != said:
            said = problems
            log.log(logging.ERROR if said else logging.INFO, "judge prompts: %s", " ".join(said) or "good again")
        if (now := judge.prompts()) != before:
            log.info("judge prompts: now %s", ", ".join(f"{name} {sha256}" for name, sha256 in now.items()))


async def tend(process: Tended) -> None:
    """Write down what was aggregated, tell how things stand, and say when the clock cannot be believed."""
    said = ""
    while True:
        await asyncio.sleep(process.settings.service.watch_seconds)
        try:
            await process.runs.refusals()
            await process.staff.people.sweep.run_once(process.clock.now_ns())
        except Fault as fault:
            log.error("tending: %s: %s", fault.code, fault.message)
        except Exception:
            log.exception("tending: a fault of ours; trying again")
        process.levels.tell(process.clock.now_ns())
        anomaly = process.clock.anomaly()
        if anomaly != said:
            said = anomaly
            log.log(logging.ERROR if anomaly else logging.INFO, "clock: %s", anomaly or "good again")
