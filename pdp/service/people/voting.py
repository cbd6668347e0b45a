"""Votes. The one way in which a request moves by a person's hand, whatever surface the hand is on."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.people import Person
from pdp.core.approvals.rows import Account, Approval
from pdp.core.approvals.view import ApprovalView
from pdp.core.stored import RecordRef


@dataclass(frozen=True, slots=True)
class BallotInput:
    """A vote as a person casts it. `request_id` names the attempt: the same id with the same content gets the same
    answer. `behalf` is an account of who is stood in for; `passkey` the WebAuthn assertion as JSON."""

    request_id: str
    choice: str  # "approve" | "deny" | "cancel"
    reason: str = ""
    presented: str = ""  # of the view that the person saw; mandatory with "approve"
    behalf: Account | None = None
    grant: GrantTerms | None = None
    passkey: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Voted:
    """A vote that is durable. `view` is the request after it, as in a list."""

    view: ApprovalView
    record: RecordRef
    grant_id: str = ""

    @property
    def approval(self) -> Approval:
        """The request's row after the vote."""
        return self.view.approval


class Voting:
    """`ApprovalService.Vote`."""

    async def vote(self, person: Person, approval_id: str, given: BallotInput) -> Voted:
        """Cast one vote; it and everything that follows from it are one commit.

        Raises NotFound (unknown, or not this person's to see); Forbidden (`approval.own_call`,
        `approval.not_eligible`, `approval.not_yours`, `approval.assurance`, ...); Outdated (`approval.too_late`,
        `approval.stale`: read it again); InvalidRequest (a reason is wanted, a grant wider than offered, the
        request id used for another vote); Unavailable.
        """
        raise NotImplementedError
