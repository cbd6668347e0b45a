"""Policies as they were, for explanations: a kept bundle gets an engine of its own, for one question's time."""

from __future__ import annotations

import asyncio

from pdp.core.policy import Bundle
from pdp.policy import gate
from pdp.policy.source import Host, loaded_policy
from pdp.ports import FiredElement, LoadedPolicy


class KeptBundles:
    """Implements `ports.KeptPolicies` with the engines of `host`."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def open(self, artefact: bytes) -> LoadedPolicy:
        """See the port."""
        bundle = Bundle.from_bytes(artefact)
        return loaded_policy(bundle, await self._host.load(bundle))

    async def fired(self, artefact: bytes, document: bytes, codes: tuple[str, ...]) -> tuple[FiredElement, ...]:
        """See the port. Outside the event loop, in a process that can be killed."""
        return await asyncio.to_thread(gate.fired, Bundle.from_bytes(artefact), document, codes)
