"""The records of a run: when it began to answer, what it counted, and when it ended on purpose."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from pdp.core import events
from pdp.core.stored import RecordRef
from pdp.ports import Clock, Store
from pdp.service.commit import Recorder

PORTION = 100  # counts of one record, whose size is bounded


@dataclass(frozen=True, slots=True)
class Runs:
    """Writes them."""

    recorder: Recorder
    store: Store
    clock: Clock
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def started(self, version: str, config_sha256: str, *, clean: bool) -> RecordRef:
        """The run begins to answer."""
        size = self.store.size()
        return await self.recorder.commit_event(
            "",
            "start",
            lambda stamp: events.start(
                stamp, version=version, config_sha256=config_sha256, records=size, clean=clean
            ),
            (),
            self.clock.now_ns(),
        )

    async def refusals(self) -> None:
        """Record the refusals beyond the quota since the last time: per tenant, so that each may read its own."""
        # what is being written is counted until it is durable: no run may begin again before that
        writing = asyncio.ensure_future(self._refusals())
        writing.add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )  # its exception counts as retrieved
        await asyncio.shield(writing)

    async def _refusals(self) -> None:
        async with self._writing:
            counts = self.store.aggregated_refusals()
            for tenant in sorted({count[0] for count in counts}):
                mine = tuple(count for count in counts if count[0] == tenant)
                for first in range(0, len(mine), PORTION):
                    await self.recorder.refusals(tenant, mine[first : first + PORTION], self.clock.now_ns())

    async def stopped(self, reason: str) -> RecordRef:
        """The run ends on purpose."""
        return await self.recorder.commit_event(
            "", "stop", lambda stamp: events.stop(stamp, reason=reason), (), self.clock.now_ns()
        )
