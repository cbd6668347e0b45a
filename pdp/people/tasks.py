"""What people have answered to a pending call, for its caller: one status for all the requests that it waits for.

It decides and redeems nothing: an approved call is allowed when it is asked again, or it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import State
from pdp.core.call.request import Caller
from pdp.core.errors import NotFound
from pdp.core.ports import Clock, Store
from pdp.decide.admission import require_server
from pdp.people.visibility import as_of


class TaskStatus(StrEnum):
    """The status of what people are asked, in the words of AuthZEN's access request profile."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


# A single request that is over ends all; the first that is found among them says how. A revoked answer counts for no
# call, and one that was redeemed was an approval.
_ORDER: Sequence[tuple[TaskStatus, frozenset[State]]] = (
    (TaskStatus.DENIED, frozenset({State.DENIED})),
    (TaskStatus.CANCELLED, frozenset({State.CANCELLED, State.REVOKED})),
    (TaskStatus.EXPIRED, frozenset({State.EXPIRED})),
    (TaskStatus.PENDING, frozenset({State.PENDING})),
)


@dataclass(frozen=True, slots=True)
class ApprovalTask:
    """What people answered about one call. Times are Unix nanoseconds: when the first of its requests ends, and until
    when an approval may be used, both past where it was used."""

    status: TaskStatus
    call_digest: str
    ends_ns: int


@dataclass(frozen=True, slots=True)
class ApprovalTasks:
    """Looks at the requests of pending calls."""

    store: Store
    clock: Clock

    async def __call__(self, ids: Sequence[str], caller: Caller) -> ApprovalTask:
        """The task of these requests of one call of this caller's. Raises NotFound, in the same words for unknown and
        another's; Forbidden for a server that the caller no longer fronts; what a store that is away raises."""
        now = self.clock.now_ns()
        found = await self.store.read(lambda: [self.store.approval(caller.tenant, each) for each in ids])
        rows = [as_of(each, now) for each in found if each is not None and each.call.caller == caller.name]
        if not rows or len(rows) < len(ids) or len({each.call.digest for each in rows}) > 1:
            raise NotFound("approval.unknown", "There is no such request.")
        require_server(caller, rows[0].call.server)
        return ApprovalTask(_status(rows), rows[0].call.digest, min(map(_ends_ns, rows)))


def _status(rows: Sequence[Approval]) -> TaskStatus:
    states = {each.state for each in rows}
    return next((status for status, those in _ORDER if states & those), TaskStatus.APPROVED)


def _ends_ns(approval: Approval) -> int:
    """An answer that was redeemed is good for nothing since."""
    return approval.resolved_ns if approval.state is State.REDEEMED else approval.expires_ns
