"""Waiting for changes without asking for them: one look at the store each second for everybody who waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from pdp.core.approvals.people import Person
from pdp.core.approvals.states import State
from pdp.core.approvals.view import ApprovalView
from pdp.core.errors import OutOfRange, Overloaded, Unavailable
from pdp.ports import Answers, Clock
from pdp.service.people.looking import ApprovalFilter, Looking

MAX_WATCHERS = 256
LIFE_SECONDS = 15.0  # a sign of life after this long without news
_CHUNK = 128
_MAX_CURSOR = 19  # digits of int64


class Changes:
    """The hub. Woken by every commit of this process that has steps; other processes' are noticed by a look at the
    store each second, as long as anybody waits."""

    def __init__(self, store: Answers, *, look_seconds: float = 1.0) -> None:
        self._store = store
        self._look_seconds = look_seconds
        self._number = 0
        self._news = asyncio.Event()
        self._waiters = 0
        self._looker: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something may have changed. From the event loop's thread; costs nothing while nobody waits."""
        if self._waiters:
            self._look()

    async def after(self, number: int, timeout_seconds: float) -> int:
        """The greatest change number once it is beyond `number`, or when the time is over."""
        self._look()
        self._waiters += 1
        if self._looker is None:
            self._looker = asyncio.create_task(self._look_again())
        try:
            async with asyncio.timeout(timeout_seconds):
                while self._number <= number:
                    await self._news.wait()
        except TimeoutError:
            pass
        finally:
            self._waiters -= 1
            if not self._waiters and self._looker is not None:
                self._looker.cancel()
                self._looker = None
        return self._number

    def _look(self) -> None:
        with suppress(Unavailable):  # whoever waits learns nothing new, and asks again
            latest = self._store.last_change()
            if latest != self._number:
                self._number = latest
                self._news.set()
                self._news = asyncio.Event()

    async def _look_again(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            self._look()


class Watching:
    """`ApprovalService.WatchApprovals`, and the console's server-sent events."""

    def __init__(self, looking: Looking, store: Answers, changes: Changes, clock: Clock) -> None:
        self._looking = looking
        self._store = store
        self._changes = changes
        self._clock = clock
        self._watchers = 0

    async def watch(
        self, person: Person, wanted: ApprovalFilter, cursor: str
    ) -> AsyncIterator[tuple[ApprovalView | None, str]]:
        """Each change of a request that the person may see, as in a list, with the cursor to go on from; (None,
        cursor) is a sign of life. `cursor` "" begins now. A filter without states lets every state through.

        Raises OutOfRange for a cursor that is not this store's; Overloaded when too many watch.
        """
        wanted = replace(wanted, states=wanted.states or frozenset(State))
        number = self._start(cursor)
        if self._watchers >= MAX_WATCHERS:
            raise Overloaded("watch.overloaded", "Too many watch at once; list from time to time instead.")
        self._watchers += 1
        loop = asyncio.get_running_loop()
        spoke = loop.time()
        try:
            while True:
                found, number = await asyncio.to_thread(self._since, person, wanted, number)
                for change, view in found:
                    yield view, str(change)
                if found:
                    spoke = loop.time()
                left = LIFE_SECONDS - (loop.time() - spoke)
                await self._changes.after(number, max(0.0, left))
                if loop.time() - spoke >= LIFE_SECONDS:
                    spoke = loop.time()
                    yield None, str(number)
        finally:
            self._watchers -= 1

    def _start(self, cursor: str) -> int:
        latest = self._store.last_change()
        if not cursor:
            return latest
        number = int(cursor) if cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_CURSOR else latest + 1
        if number > latest:
            raise OutOfRange("watch.cursor", "The cursor is not one of this log; list again, then watch without one.")
        return number

    def _since(
        self, person: Person, wanted: ApprovalFilter, number: int
    ) -> tuple[list[tuple[int, ApprovalView]], int]:
        """What changed after a number and may be seen, and the number to go on from. In a thread."""
        latest = self._store.last_change()  # read first: what comes between is told twice, never lost
        changes = self._store.changes(person.tenant, number, _CHUNK)
        at = self._clock.now_ns()
        found = [(change, self._looking.listed(person, approval, wanted, at)) for change, approval in changes]
        whole = len(changes) < _CHUNK
        told = [(change, view) for change, view in found if view is not None]
        return told, max(number, latest) if whole else changes[-1][0]
