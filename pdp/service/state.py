"""What one request pins: policy, registry view, switches. Replaced whole, never changed in place."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from pdp.core.digest import digest
from pdp.core.errors import Unavailable
from pdp.core.switches import Switch, Switches
from pdp.ports import LoadedPolicy, RegistryView, SwitchRow

DRAIN_SECONDS = 5.0  # an engine that was replaced finishes what it was asked


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is pinned per request."""

    policy: LoadedPolicy
    registry: RegistryView
    switches: Switches

    def epochs(self, tenant: str) -> str:
        """Changes whenever a kept answer must not be replayed any more."""
        return digest([self.policy.digest, self.registry.digest(tenant), self.switches.epoch])


class State:
    """Holds the current snapshot. Every change is a whole new one."""

    def __init__(self, switches: Switches) -> None:
        self._policy: LoadedPolicy | None = None
        self._registry: RegistryView | None = None
        self._switches = switches
        self._closing: set[asyncio.Task[None]] = set()

    def snapshot(self) -> Snapshot:
        """The current snapshot. Raises Unavailable while there is no policy or no registry."""
        if self._policy is None or self._registry is None:
            raise Unavailable("service.starting", "No policy is active yet; ask again when health says SERVING.")
        return Snapshot(self._policy, self._registry, self._switches)

    @property
    def policy(self) -> LoadedPolicy | None:
        return self._policy

    @property
    def switches(self) -> Switches:
        return self._switches

    def activate(self, policy: LoadedPolicy) -> None:
        """Swap the policy; the old engine is closed after it has finished what it was asked."""
        old, self._policy = self._policy, policy
        if old is not None:
            task = asyncio.create_task(self._close_later(old))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_later(self, old: LoadedPolicy) -> None:
        try:
            await asyncio.sleep(DRAIN_SECONDS)
        finally:
            await old.engine.close()

    def pin_registry(self, view: RegistryView) -> None:
        self._registry = view

    def set_switches(self, rows: tuple[SwitchRow, ...], epoch: int) -> None:
        """Take over what the store says."""
        self._switches = switches_of(rows, epoch)

    async def close(self) -> None:
        """Close every engine."""
        for task in list(self._closing):
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)
        if self._policy is not None:
            await self._policy.engine.close()


def switches_of(rows: tuple[SwitchRow, ...], epoch: int) -> Switches:
    """Rows of the store as the pure value."""
    engaged = tuple(Switch(r.tenant, r.scope, r.server, r.value, r.until_ns) for r in rows if r.engaged)
    return replace(Switches(), engaged=engaged, epoch=epoch)
