"""Standing in: somebody who is away names a deputy, for a bounded time. Recorded, never passed on."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.people import Person
from pdp.core.approvals.rows import Delegation
from pdp.core.stored import RecordRef


@dataclass(frozen=True, slots=True)
class StandIn:
    """A delegation as it is asked for. `absent` and `deputy` are ids of the directory; `absent` "" is oneself.
    Instants are Unix nanoseconds."""

    deputy: str
    from_ns: int
    until_ns: int
    reason: str = ""
    absent: str = ""


class Delegations:
    """The console's page of deputies."""

    async def list(self, person: Person) -> tuple[Delegation, ...]:
        """Those that are not over, of which the person is the absent or the deputy; an operator sees all."""
        raise NotImplementedError

    async def add(self, person: Person, wanted: StandIn) -> tuple[Delegation, RecordRef]:
        """Name a deputy: for oneself, or as an operator for anybody. Raises InvalidRequest (unknown or disabled
        deputy, oneself, a time that is over, too long); Forbidden `delegation.not_yours`."""
        raise NotImplementedError

    async def end(self, person: Person, delegation_id: str) -> RecordRef:
        """End it at once: the absent, the deputy, or an operator. Raises NotFound."""
        raise NotImplementedError
