"""The records of a run: when it began to answer, what it counted, and when it ended on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pdp.core import events
from pdp.core.stored import RecordRef
from pdp.ports import Clock, Store
from pdp.service.record import Recorder


@dataclass(frozen=True, slots=True)
class Runs:
    """Writes them."""

    recorder: Recorder
    store: Store
    clock: Clock

    async def started(self, version: str, config_sha256: str, *, clean: bool) -> RecordRef:
        """The run begins to answer."""
        size = self.store.size()
        return await self.recorder.people(
            "",
            "start",
            lambda stamp: events.start(
                stamp, version=version, config_sha256=config_sha256, records=size, clean=clean
            ),
            (),
            self.clock.now_ns(),
        )

    async def refusals(self) -> None:
        """What lay beyond the quota since the last time: one record per tenant, so that each may read its own."""
        counts = self.store.aggregated_refusals()
        for tenant in sorted({count[0] for count in counts}):
            mine = [count for count in counts if count[0] == tenant]
            made = partial(events.refusals, counts=mine)
            await self.recorder.people(tenant, "refusals", made, (), self.clock.now_ns())

    async def stopped(self, reason: str) -> RecordRef:
        """The run ends on purpose."""
        return await self.recorder.people(
            "", "stop", lambda stamp: events.stop(stamp, reason=reason), (), self.clock.now_ns()
        )
