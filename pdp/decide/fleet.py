"""Versions in force in the processes of one store: policy, directories, deny list, configuration, by digest.

Each process declares in the store what it puts in force. Where that is not what another one declared since, the two
decide differently: this process then says so in its status, in the `degraded` of its records and by a metric. It goes
on deciding, because during every rollout one of the two is newer. Only signed sets have an order of their own, and
the registry denies by that (`registry.rollback`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pdp.core.ports import Store

Key = tuple[str, str]  # part, tenant; "" for every tenant
COMMON = ("policy", "directory", "revocations", "config")  # parts that processes of a store have in common


@dataclass(frozen=True, slots=True)
class Difference:
    """A part that this process has otherwise than the one that changed it last; digests."""

    part: str
    tenant: str
    here: str
    fleet: str

    @property
    def code(self) -> str:
        return f"{self.part}.differs"


@dataclass(slots=True)
class Fleet:
    """Declares what this process has in force, and compares."""

    store: Store
    _here: dict[Key, str] = field(default_factory=dict)
    _owed: set[Key] = field(default_factory=set)  # not declared yet: then this process is the newer one
    _version: int = 0  # of `_here` and `_owed`
    _compared: tuple[int, int] = (-1, -1)  # on which the differences rest
    _differences: tuple[Difference, ...] = ()

    def note(self, part: str, digests: Mapping[str, str]) -> None:
        """From now on these are in force here, by tenant. `declare` tells the others."""
        for tenant, digest in digests.items():
            key = (part, tenant)
            if self._here.get(key) != digest:
                self._here[key] = digest
                self._owed.add(key)
                self._version += 1

    async def declare(self) -> None:
        """Tell the others what they have not been told. Raises Unavailable; it is then told the next time."""
        told, known = {key: self._here[key] for key in self._owed}, self.store.in_force()
        if news := {key: digest for key, digest in told.items() if known.get(key) != digest}:
            await self.store.put_in_force(news)
        self._owed -= {key for key, digest in told.items() if self._here[key] == digest}
        self._version += 1

    def differences(self) -> tuple[Difference, ...]:
        """As of now; the same value until something changes."""
        now = (self.store.shared_epoch(), self._version)
        if now != self._compared:
            self._differences = tuple(self._compare())
            self._compared = now
        return self._differences

    def _compare(self) -> list[Difference]:
        fleet = self.store.in_force()
        return [
            Difference(part, tenant, here, there)
            for (part, tenant), here in sorted(self._here.items())
            if (part, tenant) not in self._owed and (there := fleet.get((part, tenant), here)) != here
        ]
