"""The changes of one commit besides its record: conditional writes, decided by pure code on the rows it read.

The store carries out all steps of a commit in its transaction, or none and raises Conflict: then the caller
reads again and decides again. So every race has one winner, the one whose commit came first.

For steps with an expiry, the store compares with the later of the step's own instant and the latest instant of any
committed step: a process whose clock is behind cannot use what has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pdp.core.approvals.hourly_limits import HourlyLimits, Questioned
from pdp.core.approvals.rows import (
    Answered,
    Approval,
    Consent,
    Delegation,
    Grant,
    LastClaims,
    Notice,
    ReportedOutcome,
    Shown,
    Vote,
)
from pdp.core.approvals.states import Event, GrantState
from pdp.core.bytes.digest import INT64_MAX
from pdp.core.call.mandates import MandateEvent, MandateRow, MandateUse

if TYPE_CHECKING:  # a commit holds steps
    from pdp.core.call.labels import LabelRow


@dataclass(frozen=True, slots=True)
class Open:
    """Insert a request. Conflict while another open one has its index, or when the subject has `per_subject` open
    ones, or it does not fit into `per_tenant`, or `per_group` of a group that has a seat (`HeldRequests.fits`; 0: no
    limit), or, `alone`, while a like call waits for people, or when an hour of its approvers, or of its requester, is
    full by `hourly`."""

    approval: Approval
    shown: Shown
    per_subject: int = 0
    per_tenant: int = 0
    per_group: int = 0
    alone: bool = False
    hourly: tuple[HourlyLimits, Questioned] | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Move a request by a row of the table of states. Conflict unless it is in the row's state, at this version and,
    where the row is timely, not yet expired. Never a step without a row: that is a bug (ValueError)."""

    approval_id: str
    version: int
    event: Event
    at_ns: int
    resolution: str = ""
    redemption_id: str = ""
    call_id: str = ""
    vote: Vote | None = None  # the vote that moves it, written with it


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert a row that is new."""

    row: Grant | Consent | Delegation


@dataclass(frozen=True, slots=True)
class Use:
    """Use a grant once; it is exhausted by its last use. Conflict unless active, at this version, not expired."""

    grant_id: str
    version: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class EndGrant:
    """End a grant. Conflict unless active and at this version."""

    grant_id: str
    version: int
    after: GrantState
    by: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class UseConsent:
    """Note a use. Conflict unless in force, at this version, and not expired. Does not change the version."""

    consent_id: str
    version: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class EndConsent:
    """End a consent. Conflict unless in force and at this version."""

    consent_id: str
    version: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class PutAnswer:
    """Insert or replace the judge's answer to one requirement of one call, unless the stored one is a refusal that is
    not redeemed. `refused` stays set, by any replacement."""

    answered: Answered


@dataclass(frozen=True, slots=True)
class TakeAnswer:
    """Redeem an answer. Conflict unless this very one is there (not another that replaced it), unredeemed and not
    expired."""

    answered: Answered
    redemption_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class EndDelegation:
    """End a delegation. Conflict unless it has not ended."""

    delegation_id: str
    at_ns: int


@dataclass(frozen=True, slots=True)
class See:
    """Remember what a person's token claimed; an older sight never replaces a newer one."""

    seen: LastClaims


@dataclass(frozen=True, slots=True)
class Note:
    """Insert an outcome, and settle what the decision reserved of budgets. Conflict when the decision has one, unless
    that is `unknown`."""

    outcome: ReportedOutcome


@dataclass(frozen=True, slots=True)
class Notify:
    """Insert or update a message of the outbox."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Mark:
    """A new delivery state of a message. Conflict unless it is undelivered and was tried `attempts` times: so one
    process at a time tries, and what it finds out counts only as long as no other has taken over."""

    notice: Notice
    attempts: int


@dataclass(frozen=True, slots=True)
class Sign:
    """A passkey has signed. Conflict unless its counter is greater than the last one, or both are 0."""

    tenant: str
    passkey_id: str
    count: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Expect:
    """Conflict unless the log's active policy and the switch epoch are these, and no mark is higher than here."""

    policy_digest: str
    switch_epoch: int
    marks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Activate:
    """Make a policy the log's active one."""

    policy_digest: str


@dataclass(frozen=True, slots=True)
class Advance:
    """Move a high-water mark on by one. Conflict unless it is as it was read (0: nobody set it)."""

    name: str
    before: int


@dataclass(frozen=True, slots=True)
class ShowLabels:
    """Note on labels that a request shows them to people. Conflict unless they are there as they were read. What a
    request showed before stays with that one."""

    approval_id: str
    labels: tuple[LabelRow, ...]


@dataclass(frozen=True, slots=True)
class RemoveLabels:
    """Delete labels. Conflict unless they are there as they were read."""

    labels: tuple[LabelRow, ...]


@dataclass(frozen=True, slots=True)
class BeginMandate:
    """Insert an active mandate. Conflict while its session has one, and where it had one that began since
    `since_ns`."""

    row: MandateRow
    since_ns: int = INT64_MAX


@dataclass(frozen=True, slots=True)
class ChangeMandate:
    """Another use of a mandate, which ends with `event` where that ends one. Conflict unless it is active, at this
    version, and not expired."""

    mandate_id: str
    version: int
    used: MandateUse
    event: MandateEvent
    at_ns: int


@dataclass(frozen=True, slots=True)
class EndMandates:
    """End the mandate of a session, if there is an active one."""

    session: str
    event: MandateEvent
    at_ns: int


Step: TypeAlias = (
    Open
    | Move
    | Insert
    | Use
    | EndGrant
    | UseConsent
    | EndConsent
    | PutAnswer
    | TakeAnswer
    | EndDelegation
    | See
    | Note
    | Notify
    | Mark
    | Sign
    | Expect
    | Activate
    | Advance
    | ShowLabels
    | RemoveLabels
    | BeginMandate
    | ChangeMandate
    | EndMandates
)
