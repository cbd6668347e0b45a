"""Held approvals: a vote whose page was left waits out the seconds in which it can be undone.

A held approval is recorded after its time, if the session is still valid, the person still may vote, and the request
is still as shown. It exists in this process alone: a process that ends drops it, and nothing is approved. Undo and
the question whether it is recorded go through the store (`Votes.void`, `Votes.recorded`), so they work in any
process. No page shows it as recorded before the store has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable

from pdp.core.errors import Fault, Overloaded

MAX_MS = 5_000
_MAX_HELD, _MAX_OF_SESSION = 1_000, 16
log = logging.getLogger("pdp.console")


class HeldVotes:
    """The held approvals of one console, dropped when it stops."""

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping = stopping
        self._tasks: set[asyncio.Task[None]] = set()
        self._of: Counter[str] = Counter()

    def hold(self, session_id: str, milliseconds: int, record: Callable[[], Awaitable[object]]) -> None:
        """Call `record` after some milliseconds. Raises Overloaded, and holds nothing."""
        if len(self._tasks) >= _MAX_HELD or self._of[session_id] >= _MAX_OF_SESSION:
            raise Overloaded("console.held", "Too many approvals wait to be recorded. Nothing was recorded.")
        self._of[session_id] += 1
        task = asyncio.get_running_loop().create_task(self._later(session_id, min(milliseconds, MAX_MS), record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, session_id: str, milliseconds: int, record: Callable[[], Awaitable[object]]) -> None:
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(milliseconds / 1000):
                    await self._stopping.wait()
            if not self._stopping.is_set():
                await record()
        except Fault as fault:  # ended, decided or undone meanwhile; the request's page shows its state
            log.info("a held approval was dropped: %s", fault.code)
        except Exception:
            log.exception("a held approval was dropped: internal error")
        finally:
            self._of[session_id] -= 1
            if not self._of[session_id]:
                del self._of[session_id]
