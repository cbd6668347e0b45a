"""A consent as its subject sees it, and what a subject says about one."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdp.core.approvals.consents import lasts
from pdp.core.approvals.rows import Account, Consent
from pdp.core.approvals.states import State
from pdp.core.approvals.view import ApprovalView
from pdp.core.digest import Json, sha256_hex

STATES = ("requested", "active", "refused", "expired", "revoked")
REQUEST_STATES = {
    State.PENDING: "requested",
    State.DENIED: "refused",
    State.REVOKED: "refused",
    State.EXPIRED: "expired",
    State.CANCELLED: "revoked",
}  # one that was agreed to lives on as its consent


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

    def content(self) -> tuple[Json, ...]:
        """The content that the request id is bound to."""
        terms = self.what
        named: Json = terms if isinstance(terms, str) else [getattr(terms, name) for name in terms.__slots__]
        return (named, self.presented, self.expires_ns, sha256_hex(self.passkey))


def of_consent(row: Consent, at_ns: int) -> ConsentView:
    """A row as it stands."""
    state = "revoked" if row.ended_ns else "active" if lasts(row, at_ns) else "expired"
    return ConsentView(
        id=row.id,
        state=state,
        subject=row.subject,
        agent=row.agent,
        agent_name="",
        server=row.server,
        tool=row.tool,
        scope=row.scope,
        purpose=row.purpose,
        expires_ns=row.expires_ns,
        granted_ns=row.granted_ns,
        ended_ns=row.ended_ns,
        last_used_ns=row.last_used_ns,
        assurance=row.assurance,
    )


def of_request(view: ApprovalView) -> ConsentView | None:
    """A request for a consent; None for one that was agreed to: it lives on as its consent."""
    row, call = view.approval, view.approval.call
    state = REQUEST_STATES.get(row.state)
    if state is None:
        return None
    return ConsentView(
        id=row.id,
        state=state,
        subject=call.subject,
        agent=call.agent,
        agent_name=view.shown.agent_name if view.shown is not None else "",
        server=call.server,
        tool=call.tool,
        scope=view.wanted.scope,
        purpose=view.wanted.purpose,
        expires_ns=row.expires_ns,
        ended_ns=row.resolved_ns if state in ("refused", "revoked") else 0,
        presented=view.presented,
    )
