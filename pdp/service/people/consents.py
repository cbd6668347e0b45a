"""Consents: what a subject lets an agent use. Given by the subject alone, on its own page: never by an agent, never
by an approver, and never implied by an approval."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.core.approvals.people import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Account
from pdp.core.stored import RecordRef

STATES = ("requested", "active", "refused", "expired", "revoked")


@dataclass(frozen=True, slots=True)
class ConsentView:
    """One consent, or the open request for one (its id is the request's). Times are Unix nanoseconds, 0: none.
    `presented` commits to everything that is shown here; send it back to agree."""

    id: str
    state: str  # one of STATES
    subject: Account
    agent: str
    agent_name: str  # unverified text
    server: str
    tool: str  # "": all tools within `scope`
    scope: str
    purpose: str
    expires_ns: int  # of a request: when it can no longer be answered
    granted_ns: int = 0
    ended_ns: int = 0
    last_used_ns: int = 0
    assurance: str = ""
    presented: str = ""


@dataclass(frozen=True, slots=True)
class ConsentTerms:
    """What a subject agrees to on its own initiative."""

    agent: str
    server: str
    scope: str
    purpose: str
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A subject agrees: to an open request (its id) or to terms of its own. `expires_ns` 0: as long as is allowed."""

    request_id: str
    what: str | ConsentTerms
    presented: str = ""  # of the view that the subject saw; mandatory with a request
    expires_ns: int = 0
    passkey: bytes = field(default=b"", repr=False)


class Consents:
    """`ConsentService`, and the console's page of one's own consents."""

    async def list(
        self, person: Person, page: Page, *, states: frozenset[str] = frozenset(), consent_id: str = ""
    ) -> tuple[tuple[ConsentView, ...], str]:
        """The person's own, open requests first, then newest first, and the `after` of the next page. `states`
        empty: requested and active ones."""
        raise NotImplementedError

    async def grant(self, person: Person, given: Agreement) -> tuple[ConsentView, RecordRef]:
        """Agree. Raises NotFound; Outdated (`approval.too_late`, `approval.stale`); InvalidRequest (longer than is
        allowed, incomplete terms); Forbidden (`approval.assurance`)."""
        raise NotImplementedError

    async def revoke(self, person: Person, consent_id: str, request_id: str = "") -> tuple[ConsentView, RecordRef]:
        """End a consent at once, or refuse an open request. Raises NotFound; Outdated `consent.ended`."""
        raise NotImplementedError

    async def refuse(self, person: Person, approval_id: str, request_id: str = "") -> tuple[ConsentView, RecordRef]:
        """Refuse an open request. As `revoke`, for a request only."""
        raise NotImplementedError
