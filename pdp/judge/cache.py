"""Verdicts that were given already, and sessions that are under way: the same matter is judged once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from cachetools import TTLCache

from pdp.core.judge.judge_input import OK, Opinion


@dataclass(frozen=True, slots=True)
class Key:
    """What a verdict rests on. Never shared between tenants."""

    tenant: str
    seen_sha256: str
    model: str
    url: str


class CrowdedError(Exception):
    """Too many sessions are under way."""


class Verdicts:
    """Keeps opinions of status `ok` for `seconds`, at most `entries`; no other opinion is ever kept. At most
    `sessions` are under way at once, `own_sessions` of them one tenant's."""

    def __init__(
        self, seconds: float, entries: int, sessions: int, own_sessions: int, monotonic: Callable[[], float]
    ) -> None:
        self._sessions, self._own_sessions = sessions, own_sessions
        self._tenants: Counter[str] = Counter()
        self._kept: TTLCache[Key, Opinion] = TTLCache(entries, seconds, timer=monotonic)
        self._under_way: dict[Key, asyncio.Task[Opinion]] = {}

    @property
    def under_way(self) -> int:
        """Sessions that are not over."""
        return len(self._under_way)

    async def get(self, key: Key, hold: Callable[[], Awaitable[Opinion]], within_s: float) -> Opinion:
        """The opinion that is kept, or that of the session under way, or that of a new one (`hold`). Whoever joins
        waits for their own `within_s` only. Raises TimeoutError, CrowdedError."""
        if (kept := self._kept.get(key)) is not None:
            return _again(kept)
        task = self._under_way.get(key)
        if task is not None:
            done, _ = await asyncio.wait((task,), timeout=within_s)
            if not done or task.cancelled():
                raise TimeoutError
            return _again(task.result())
        if len(self._under_way) >= self._sessions or self._tenants[key.tenant] >= self._own_sessions:
            raise CrowdedError
        task = asyncio.ensure_future(self._hold(key, hold))
        self._under_way[key] = task
        self._tenants[key.tenant] += 1
        task.add_done_callback(lambda _: self._over(key))
        return await asyncio.shield(task)  # it goes on for those who joined, and for the cache

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, key: Key) -> None:
        del self._under_way[key]
        self._tenants[key.tenant] -= 1
        if not self._tenants[key.tenant]:
            del self._tenants[key.tenant]

    async def _hold(self, key: Key, hold: Callable[[], Awaitable[Opinion]]) -> Opinion:
        opinion = await hold()
        if opinion.status == OK:
            self._kept[key] = opinion
        return opinion


def _again(opinion: Opinion) -> Opinion:
    """The same, at no cost."""
    return replace(opinion, cached=True, tokens_in=0, tokens_out=0, latency_ms=0)
