"""Waking those who wait for a request to change: long polls and watchers.

One look at the store serves all who wait, however many there are: after each commit of this process that changed
something, and once a second for what other processes of a fleet changed. Nobody waits, nobody looks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

from pdp.core.approvals.rows import Approval
from pdp.core.errors import Fault
from pdp.ports import Answers

log = logging.getLogger("pdp.people")
POLL_SECONDS = 1.0
PAGE = 500


@dataclass(slots=True, eq=False)
class Waiter:
    """One who waits: for some requests of a tenant, or for all (`ids` None). `seen` are changes not yet taken,
    so who takes them late costs no more than there are requests."""

    tenant: str
    ids: frozenset[str] | None
    seen: dict[str, tuple[int, Approval]] = field(default_factory=dict)  # of each request the last
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> tuple[tuple[int, Approval], ...]:
        """Changes since the last call, with their numbers; empty when there was none for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.woken.wait()
        self.woken.clear()
        taken, self.seen = self.seen, {}
        return tuple(sorted(taken.values(), key=lambda change: change[0]))


class Changes:
    """Tells waiters what changed."""

    def __init__(self, store: Answers) -> None:
        self._store = store
        self._waiters: set[Waiter] = set()
        self._after = 0
        self._nudge = asyncio.Event()
        self._visibilities: asyncio.Task[None] | None = None

    def last(self) -> int:
        """The number of the latest change."""
        return self._store.last_change()

    def notify(self) -> None:
        """Something was committed; look soon. Call it on the event loop."""
        if self._waiters:
            self._nudge.set()

    @contextlib.contextmanager
    def waiting(self, tenant: str, ids: frozenset[str] | None) -> Iterator[Waiter]:
        """Everything that changes from here on is seen; what changed before must be read once inside."""
        waiter = Waiter(tenant, ids)
        if not self._waiters:
            self._after = self._store.last_change()
        self._waiters.add(waiter)
        if self._visibilities is None or self._visibilities.done():
            self._visibilities = asyncio.get_running_loop().create_task(self._look())
        try:
            yield waiter
        finally:
            self._waiters.discard(waiter)

    async def close(self) -> None:
        """Stop looking; whoever still waits is woken."""
        if self._visibilities is not None:
            self._visibilities.cancel()
            await asyncio.gather(self._visibilities, return_exceptions=True)
        for waiter in self._waiters:
            waiter.woken.set()

    async def _look(self) -> None:
        while self._waiters:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await self._nudge.wait()
            self._nudge.clear()
            try:
                self._tell()
            except Fault as fault:
                log.error("changes cannot be read: %s", fault.code)
            except Exception:  # whoever waits would wait in vain; what was not told is told the next time
                log.exception("changes cannot be told: a fault of ours; trying again")

    def _tell(self) -> None:
        if (last := self._store.last_change()) == self._after:
            return
        for tenant in {waiter.tenant for waiter in self._waiters}:
            after = self._after
            while after < last and (found := self._store.changes(tenant, after, PAGE)):
                after = found[-1][0]
                self._wake(tenant, found)
        self._after = last

    def _wake(self, tenant: str, found: tuple[tuple[int, Approval], ...]) -> None:
        for waiter in self._waiters:
            if waiter.tenant != tenant:
                continue
            mine = [each for each in found if waiter.ids is None or each[1].id in waiter.ids]
            if mine:
                waiter.seen |= {approval.id: (number, approval) for number, approval in mine}
                waiter.woken.set()
