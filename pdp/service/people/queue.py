"""The queue: which requests a person may see, and one of them as it is to be judged."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.core.approvals.people import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Account
from pdp.core.approvals.states import OPEN, State
from pdp.core.approvals.view import ApprovalView


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """What is listed or watched. Fields are combined by and, the values of a set by or; empty ones do not narrow,
    but for `states`: the open ones. Instants are Unix nanoseconds, `opened_to_ns` is excluded."""

    states: frozenset[State] = field(default=OPEN)
    kinds: frozenset[str] = frozenset()
    server: str = ""
    tool: str = ""
    subject: Account | None = None
    agent: str = ""
    mine: bool = False  # only those on which this person may vote now
    opened_from_ns: int = 0
    opened_to_ns: int = 0
    newest_first: bool = False


class Queue:
    """`ApprovalService.ListApprovals` and `GetApproval`, and the console's queue, history and request page."""

    async def list(self, person: Person, wanted: ApprovalFilter, page: Page) -> tuple[tuple[ApprovalView, ...], str]:
        """A page of the requests that the person may see, without what only one at a time shows (`shown` is None,
        no rows), and the `after` of the next page; "" on the last. A page may be shorter than its size."""
        raise NotImplementedError

    async def get(self, person: Person, approval_id: str) -> ApprovalView:
        """One request, complete; the read is recorded. Raises NotFound, in the same words for unknown and not
        this person's to see."""
        raise NotImplementedError
