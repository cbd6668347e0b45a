"""Waiting in tests: for a condition, for a process at work, and with a call held back until it is released."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

PATIENCE_SECONDS = 90.0  # far beyond what anything takes, also on a machine that does much else


async def until(condition: Callable[[], Any], *, seconds: float = PATIENCE_SECONDS) -> Any:
    """The first true value of `condition`, for what sets no event: another process, a thread, a private state."""
    async with asyncio.timeout(seconds):
        while not (value := condition()):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
    return value


async def until_working(pid: int) -> None:
    """Until a process that was idle has used CPU time: it has begun with what it was sent."""
    before = _ticks(pid)
    await until(lambda: _ticks(pid) >= before + 3)


def _ticks(pid: int) -> int:
    """CPU time of a process, in hundredths of a second (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Held:
    """Holds back one call of an inner object until released; with `after`, what the call came to."""

    def __init__(self, inner: Any, name: str, *, after: bool = False) -> None:
        self.inner, self.name, self.after = inner, name, after
        self.reached, self.release = asyncio.Event(), asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name != self.name:
            return method

        async def held(*args: Any, **named: Any) -> Any:
            found = await method(*args, **named) if self.after else None
            self.reached.set()
            await self.release.wait()
            return found if self.after else await method(*args, **named)

        return held


async def meanwhile(
    owner: Any,
    part: str,
    name: str,
    asked: Awaitable[Any],
    happens: Callable[[], Awaitable[Any]],
    *,
    after: bool = False,
) -> Any:
    """The answer to what is asked, when something happens before the first call `name` of a part of `owner`; with
    `after`, between that call and what follows it."""
    inner = getattr(owner, part)
    held = Held(inner, name, after=after)
    setattr(owner, part, held)
    asking = asyncio.ensure_future(asked)
    await held.reached.wait()
    setattr(owner, part, inner)
    await happens()
    held.release.set()
    return await asking
