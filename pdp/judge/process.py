"""A judge's process: started by us on a private socket, or run by somebody else. Kept, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from pdp.core.digest import Json
from pdp.judge.connection import Connection, UnreachableError
from pdp.judge.options import JudgeOptions

log = logging.getLogger("pdp.judge")
READY = b"ready\n"  # what a process says on its standard output when it listens
_START_SECONDS = 30.0
_END_SECONDS = 5.0
_BACKOFF_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
_PATIENCE_SECONDS = 5.0  # for a process that is about to be there; once it failed to come, nobody waits


class Running(Protocol):
    """A judge's process that can be asked."""

    @property
    def connection(self) -> Connection: ...

    @property
    def pid(self) -> int | None:
        """Its process id, when it is ours."""
        ...

    async def close(self) -> None: ...


class Remote:
    """A process that somebody else runs. Implements `Running`."""

    pid = None

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @classmethod
    async def reach(cls, path: Path, options: JudgeOptions) -> Remote:
        """Raises UnreachableError."""
        return cls(await Connection.open(path, options))

    async def close(self) -> None:
        await self.connection.close()


class Child:
    """A process of ours. It has no environment, and ends when its standard input does: with us, at the latest.
    Implements `Running`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, connection: Connection) -> None:
        self._process, self._folder, self.connection = process, folder, connection

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @classmethod
    async def start(cls, command: Sequence[str], told: Mapping[str, Any], options: JudgeOptions) -> Child:
        """Run `command`, tell it what to do (`told`, and the socket) and wait until it listens. What it has to say
        goes where our own log goes. Raises UnreachableError."""
        folder = Path(tempfile.mkdtemp(prefix="pdp-judge-"))  # for this user only
        process = None
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env={},
                cwd=folder,
                process_group=0,  # a terminal's signals pass it by
            )
            await _listening(process, {**told, "socket": str(folder / "s")})
            return cls(process, folder, await Connection.open(folder / "s", options))
        except (OSError, TimeoutError):
            await _end(process, folder)
            raise UnreachableError("it does not start; its own words are in the log") from None
        except BaseException:
            await _end(process, folder)
            raise

    async def close(self) -> None:
        await self.connection.close()
        await _end(self._process, self._folder)


async def _listening(process: asyncio.subprocess.Process, told: Mapping[str, Any]) -> None:
    if process.stdin is None or process.stdout is None:
        raise OSError
    process.stdin.write(json.dumps(told).encode() + b"\n")
    async with asyncio.timeout(_START_SECONDS):
        if await process.stdout.readline() != READY:
            raise OSError


async def _end(process: asyncio.subprocess.Process | None, folder: Path) -> None:
    """End its input; kill it when that is not enough."""
    if process is not None:
        try:
            async with asyncio.timeout(_END_SECONDS):
                await process.communicate(b"")  # ends its input, and hears it out
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate(b"")
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


class Keeper:
    """Sees to it that there is a process, made by `start`. It never keeps anything else from starting. `tell` hears
    whether there is one, whenever that changes."""

    def __init__(
        self, start: Callable[[], Awaitable[Running]], tell: Callable[[bool], None] = lambda _: None
    ) -> None:
        self._start, self._tell = start, tell
        self._running: Running | None = None
        self._settled = asyncio.Event()  # it is up, or it is known that it is not
        self._failures = 0
        self._starts = 0
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start it, without waiting. Inside a running loop."""
        if self._task is None:
            self._tell(False)
            self._task = asyncio.get_running_loop().create_task(self._keep(), name="keeper of the judge")

    async def connection(self, within_s: float) -> Connection | None:
        """How to ask it; None while it is away. Waits a moment for one that is about to be there."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(within_s, _PATIENCE_SECONDS)):
                await self._settled.wait()
        return None if self._running is None else self._running.connection

    def status(self) -> Mapping[str, Json]:
        """`process`: "up", "starting" or "away"; `restarts` since the start."""
        running = self._running
        if running is None:
            return {
                "process": "away" if self._failures else "starting",
                "pid": None,
            } | self._count
        return {"process": "up", "pid": running.pid, **running.connection.state} | self._count

    @property
    def _count(self) -> dict[str, Json]:
        return {"restarts": max(0, self._starts - 1)}

    async def close(self) -> None:
        """End it."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(_BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)])
            try:
                running = await self._start()
            except UnreachableError as error:
                self._failures += 1
                self._settled.set()
                if self._failures <= len(_BACKOFF_SECONDS):  # then it has been said often enough
                    log.error("the judge's process is away: %s", error)
                continue
            except Exception:
                self._failures += 1
                self._settled.set()
                log.exception("the judge's process is away: a fault of ours; trying again")
                continue
            try:
                await self._stay(running)
            except Exception:
                log.exception("the judge's process: a fault of ours; it is started again")

    async def _stay(self, running: Running) -> None:
        """Until it is gone."""
        loop = asyncio.get_running_loop()
        self._running, self._starts, since = running, self._starts + 1, loop.time()
        self._settled.set()
        self._tell(True)
        log.info("the judge's process is up")
        try:
            await running.connection.gone.wait()
            log.error("the judge's process went away; it is started again")
        finally:
            self._running = None
            self._tell(False)
            # one that comes up and dies at once is no better than one that does not come up
            self._failures = self._failures + 1 if loop.time() - since < _PATIENCE_SECONDS else 0
            if not self._failures:
                self._settled.clear()
            await asyncio.shield(running.close())
