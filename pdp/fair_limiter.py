"""Whose turn it is at what many tenants share: a bounded number at once, tenants in turn."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class OverloadedError(Exception):
    """Too many wait already."""


class FairQueue:
    """Places. One tenant takes at most its share of them (one at least), and of those that wait."""

    def __init__(self, places: int, queued: int, share: float) -> None:
        self._places, self._queued = places, queued
        self._own_places = max(1, int(places * share))
        self._own_queued = max(1, int(queued * share))
        self._running: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()  # whose turn is next, first

    @property
    def running(self) -> int:
        return self._running.total()

    @property
    def waiting(self) -> int:
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def place(self, tenant: str) -> AsyncIterator[None]:
        """Wait for a place and keep it. Raises OverloadedError."""
        await self._enter(tenant)
        try:
            yield
        finally:
            self._leave(tenant)

    async def _enter(self, tenant: str) -> None:
        if self.waiting >= self._queued or len(self._waiting.get(tenant, ())) >= self._own_queued:
            raise OverloadedError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():  # it went while it waited
                self._forget(tenant, turn)
            else:  # it was given a place that it cannot take any more
                self._leave(tenant)
            raise

    def _leave(self, tenant: str) -> None:
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._admit()

    def _forget(self, tenant: str, turn: asyncio.Future[None]) -> None:
        queue = self._waiting.get(tenant)
        if queue is not None and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[tenant]

    def _admit(self) -> None:
        while self.running < self._places and (tenant := self._next()) is not None:
            queue = self._waiting.pop(tenant)
            turn = queue.popleft()
            if queue:
                self._waiting[tenant] = queue  # behind every other tenant
            if not turn.done():
                self._running[tenant] += 1
                turn.set_result(None)

    def _next(self) -> str | None:
        return next((t for t in self._waiting if self._running[t] < self._own_places), None)
