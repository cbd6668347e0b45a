"""The ports for approvals: stored answers of people and the judge, the directory, channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ParamSpec, Protocol, TypeVar

from pdp.core.approvals.call import CallContext, SourcedEvidence
from pdp.core.approvals.directory import Directory, DirectoryChange, Person
from pdp.core.approvals.hourly_limits import Question
from pdp.core.approvals.notices import Message
from pdp.core.approvals.open_limits import HeldRequests
from pdp.core.approvals.queries import ApprovalQuery, ConsentQuery, GrantQuery, Page, Queued
from pdp.core.approvals.redeem import Resume
from pdp.core.approvals.rows import (
    Account,
    Answered,
    Approval,
    Call,
    Consent,
    Delegation,
    Grant,
    LastClaims,
    Notice,
    ReportedOutcome,
    Shown,
    Vote,
)
from pdp.core.approvals.turned_down import TurnedDown
from pdp.core.bytes.digest import Json
from pdp.core.call.labels import LabelRow
from pdp.core.call.mandates import MandateRow

_P = ParamSpec("_P")
_T = TypeVar("_T")


class EvidenceSource(Protocol):
    """Answers to requirements: by people, by what they agreed to before, by the judge. Raises Unavailable when what
    it would say cannot be known."""

    async def known(self, context: CallContext, at_ns: int, /) -> tuple[SourcedEvidence, ...]:
        """Answers for exactly this call that are already there. One answer for each requirement at most."""
        ...

    async def gather(
        self, context: CallContext, opened: tuple[Mapping[str, Json], ...], at_ns: int, /
    ) -> tuple[SourcedEvidence, ...]:
        """Try to answer the opened stage now; what cannot be answered at once is left out."""
        ...


class Directories(Protocol):
    """People and groups by tenant, as loaded now."""

    def of(self, tenant: str) -> Directory: ...


class DirectorySource(Directories, Protocol):
    """The source of directories."""

    async def reload(self, at_ns: int) -> tuple[DirectoryChange, ...]:
        """Look again; returns what changed, or cannot be read. Nothing of it is in force yet: it is returned again
        until it is activated. Never raises."""
        ...

    def activate(self, change: DirectoryChange) -> None:
        """Put a recorded directory into force. What cannot be read keeps the last good one, for a while."""
        ...

    def status(self, at_ns: int) -> Mapping[str, Json]:
        """Status by tenant: revision, people, groups, age_seconds (None: never good), problem (a code)."""
        ...


class ResumeTokens(Protocol):
    """Seals what a pending call is found again by (approvals/resume)."""

    def seal(self, resume: Resume) -> str: ...

    def open(self, token: str, at_ns: int) -> Resume | None:
        """None for anything but an own, unchanged token whose time is not over."""
        ...


class Passkeys(Protocol):
    """Verifies what passkeys sign (WebAuthn)."""

    def verify(self, person: Person, challenge: bytes, assertion: bytes, /) -> bool:
        """Whether `assertion` (the browser's JSON) is by a passkey of this person over `challenge`, with user
        verification."""
        ...


class Channel(Protocol):
    """A notification channel (approvals/channels)."""

    async def send(self, message: Message, /) -> None:
        """Hand it over. Raises Unavailable `notice.*` when that fails, without an address or a word of the message.
        Ends within a minute."""
        ...


class Answers(Protocol):
    """Reading what people answered; part of the store. The reads are synchronous, from any thread; pages of people
    and background tasks call them by `in_thread`. Sees every commit that was answered."""

    async def in_thread(self, reads: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """The result of `reads`, which calls reads of this store, in one of its few threads for pages and background
        tasks; decisions have others. Raises Overloaded `store.overloaded` where none is free for seconds."""
        ...

    def approval(self, tenant: str, approval_id: str) -> Approval | None: ...

    def shown(self, approval_id: str) -> Shown | None:
        """None once erased."""
        ...

    def votes(self, approval_id: str) -> tuple[Vote, ...]:
        """Oldest first."""
        ...

    def labels(self, pair: str) -> tuple[LabelRow, ...]:
        """Of a subject with an agent, by their keyed index, in no order."""
        ...

    def votes_of(self, approval_ids: tuple[str, ...]) -> Mapping[str, tuple[Vote, ...]]:
        """`votes` of many at once; those without any are left out."""
        ...

    def shown_of(self, approval_ids: tuple[str, ...]) -> Mapping[str, Shown]:
        """`shown` of many at once; those without are left out."""
        ...

    def approvals_of(self, tenant: str, call_digest: str) -> tuple[Approval, ...]:
        """Requests about exactly this call, newest first, 32 at most."""
        ...

    def approvals(self, query: ApprovalQuery, page: Page) -> tuple[Approval, ...]: ...

    def queue(self, query: ApprovalQuery, page: Page, *, fold: bool = False) -> tuple[Queued, ...]:
        """Requests by risk, then age. With `fold` those of a subject that has `FOLDED_FROM` are one row, but for
        accounts that are `involved`. Reads all that fit, so ask for open ones."""
        ...

    def held(self, tenant: str, subject_index: str = "", agent: str = "", group: str = "") -> HeldRequests:
        """Open requests of the tenant, with a seat for the group where one is named."""
        ...

    def asked_since(self, tenant: str, since_ns: int) -> tuple[Question, ...]:
        """Requests of the tenant that were opened after an instant, canaries included."""
        ...

    def due(self, at_ns: int, limit: int) -> tuple[Approval, ...]:
        """Open requests whose time is over."""
        ...

    def changes(self, tenant: str, after: int, limit: int) -> tuple[tuple[int, Approval], ...]:
        """Requests that changed after a change number, each as it is now, with the number of its last change."""
        ...

    def last_change(self) -> int:
        """The greatest change number; 0 when there was none."""
        ...

    def redeemed_before(self, tenant: str, call: Call, limit: int) -> tuple[Approval, ...]:
        """Redeemed approvals of calls of the same tool by the same agent for the same subject, the latest first."""
        ...

    def grant(self, tenant: str, grant_id: str) -> Grant | None: ...

    def grants_for(self, tenant: str, subject: Account, agent: str, server: str, tool: str) -> tuple[Grant, ...]:
        """Active ones, oldest first."""
        ...

    def grants(self, query: GrantQuery, page: Page) -> tuple[Grant, ...]: ...

    def mandate(self, tenant: str, mandate_id: str) -> MandateRow | None: ...

    def mandates(self, tenant: str, *, session: str = "", subject_index: str = "") -> tuple[MandateRow, ...]:
        """Of a session or a subject, by their indexes, or all of the tenant, newest first, 100 at most."""
        ...

    def consent(self, tenant: str, consent_id: str) -> Consent | None: ...

    def consents_for(self, tenant: str, subject: Account, agent: str) -> tuple[Consent, ...]:
        """Consents that are not ended, oldest first; the caller compares the instant."""
        ...

    def consents(self, query: ConsentQuery, page: Page) -> tuple[Consent, ...]: ...

    def answers_of(self, tenant: str, call_digest: str) -> tuple[Answered, ...]: ...

    def judge_refusals(self, tenant: str, asker: str, since_ns: int) -> int:
        """The number of the caller's calls that the judge refused since then."""
        ...

    def delegations(self, tenant: str, at_ns: int) -> tuple[Delegation, ...]:
        """Delegations that are neither ended nor expired."""
        ...

    def seen(self, tenant: str, accounts: tuple[Account, ...]) -> Mapping[Account, LastClaims]: ...

    def outcome(self, decision_id: str) -> ReportedOutcome | None: ...

    def outcomes_of(self, redemption_ids: tuple[str, ...]) -> Mapping[str, str]:
        """Reported outcomes of redeemed calls, by redemption id."""
        ...

    def turned_down(self, tenant: str, call: Call, since_ns: int) -> TurnedDown:
        """Counts of refused and withdrawn requests for like calls since then; canaries
        left out."""
        ...

    def waiting_like(self, tenant: str, call: Call, at_ns: int) -> bool:
        """Whether people are still to answer for another like call; canaries left out."""
        ...

    def last_refused(self, tenant: str, call: Call, since_ns: int) -> Approval | None:
        """The request for a like call that was refused last."""
        ...

    def unknown_outcomes(self, call_digest: str) -> int:
        """The number of identical calls with outcome "unknown"."""
        ...

    def sign_count(self, tenant: str, passkey_id: str) -> int:
        """The counter of a passkey's last signature; 0 before the first."""
        ...

    def notices(self, at_ns: int, limit: int) -> tuple[Notice, ...]:
        """Undelivered messages that are due."""
        ...
