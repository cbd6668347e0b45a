"""Rows of the store for approvals, as values. Times are Unix nanoseconds; JSON is canonical bytes.

`version` grows by one with every change of a row; every write names the version that it was decided on.
"""

from __future__ import annotations

from pdp.core.approvals.states import GrantState, State
from pdp.core.call.revocation import Revocable
from pdp.core.check import NS
from pdp.core.frozen import frozen


@frozen
class Account:
    """An account at an issuer. Neither part alone names anybody."""

    issuer: str
    id: str


@frozen
class Call:
    """The call that a request is about, as its digest binds it. None of it is erasable; arguments are in `Shown`."""

    digest: str
    subject: Account
    actors: tuple[Account, ...]  # the current actor first; an actor without issuer has ""
    agent: str
    caller: str
    session: str
    server: str
    tool: str
    manifest_sha256: str


@frozen
class Approval:
    """One request for people about one call: a confirmation, an approval or a consent."""

    id: str  # UUIDv7
    tenant: str
    index: str  # keyed HMAC of call digest and requirement, never logged: at most one open request has it
    kind: str  # "confirmation" | "approval" | "consent"
    state: State
    version: int
    call: Call
    requirement: bytes  # the whole element as policy wants it
    title: str
    risk: str
    short_code: str  # for people to compare, e.g. "7F-K2"
    subject_index: str  # the erasable tables' key of the subject
    decision_id: str  # the decision that opened it
    policy_revision: str
    policy_digest: str
    opened_ns: int
    expires_ns: int
    changed_ns: int
    resolved_ns: int = 0  # 0 while open
    resolution: str = ""  # code of why it ended
    redemption_id: str = ""
    redeemed_call: str = ""  # `call_id` of the ask that redeemed it
    canary: bool = False  # never executable: measures attention


@frozen
class Shown:
    """The content of a request for people's eyes only. Erased with its subject; the record has commitments by
    `salt`."""

    approval_id: str
    tenant: str
    subject_index: str
    salt: bytes
    arguments: bytes  # canonical JSON object
    secrets: tuple[str, ...]  # JSON Pointers of values that are shown by kind only
    task: str
    task_source: str  # as in the input document
    effects: tuple[str, ...]  # sentences made from the signed manifest, the server's own
    agent_name: str = ""
    working_folder: str = ""  # where the call would run, as the caller said


@frozen
class Vote:
    """One vote. The last vote of a human counts. `human` is the directory's id: linked accounts are one human."""

    id: str  # UUIDv7
    approval_id: str
    tenant: str
    human: str
    account: Account
    choice: str  # "approve" | "deny" | "cancel"
    reason: str
    assurance: str  # "client_asserted" | "signed_in" | "passkey"
    groups: tuple[str, ...]  # eligible groups at the vote, by id
    claimed: tuple[str, ...]  # those of them that only the person's claims said
    surface: str  # "grpc" | "cli" | "console" | "client"
    at_ns: int
    presented: str = ""  # commitment to what was shown
    behalf: str = ""  # human stood in for, by `delegation`
    delegation: str = ""
    passkey: bytes = b""  # the WebAuthn assertion and the key that it verifies with (`assertion.evidence`)
    grant: bytes = b""  # terms of a grant that this voter agrees to, canonical JSON; none comes without all of theirs
    signed_in_ns: int = 0  # when what the voter signed in with was issued; 0: it did not say

    @property
    def sign_in(self) -> Revocable:
        """What the voter signed in with, as it is revoked."""
        return Revocable(self.account.issuer, self.account.id, self.signed_in_ns)


@frozen
class Grant:
    """A standing approval within bounds. `uses`, `expires_ns` and `session` bound it; 0 and "" mean not by that."""

    id: str
    tenant: str
    state: GrantState
    version: int
    subject: Account
    agent: str
    caller: str
    server: str
    tool: str
    manifest_sha256: str
    requirement: bytes  # the element that it answers
    arguments_schema: bytes  # JSON Schema 2020-12 that the arguments must satisfy
    session: str
    uses: int
    used: int
    issued_ns: int
    expires_ns: int
    changed_ns: int
    approval_id: str
    issued_by: tuple[str, ...]  # humans
    subject_index: str
    ended_by: str = ""


@frozen
class Consent:
    """A subject lets an agent use a server, a tool or a scope for a purpose until a date. "" means any."""

    id: str
    tenant: str
    version: int
    subject: Account
    subject_index: str
    agent: str
    server: str
    tool: str
    scope: str
    purpose: str
    granted_ns: int
    expires_ns: int
    assurance: str
    ended_ns: int = 0  # 0 while it is in force
    last_used_ns: int = 0
    approval_id: str = ""  # the request that asked for it, if one did


REFUSALS_NS = 24 * 3600 * NS  # how far back the judge's refusals are a fact for policy


@frozen
class Answered:
    """An answer to one requirement for one call that is no person's: the judge's. `element` is the evidence."""

    call_digest: str
    requirement_sha256: str
    tenant: str
    kind: str
    element: bytes
    expires_ns: int
    created_ns: int
    redemption_id: str = ""  # redeemed like any other answer
    basis: str = ""  # keyed digest of all that the judge saw: an answer that unlocks counts for no other view
    asker: str = ""  # keyed index of subject, agent, server and tool: whose refusals count together
    refused: bool = False  # now, or before by an answer that this one replaced
    subject_index: str = ""  # the erasable tables' key of the subject
    opinion: bytes = b""  # what people may read of it, JSON; erasable


@frozen
class Delegation:
    """A deputy stands in for an absent human. Recorded, bounded, never passed on. `by` is the operator who named the
    deputy, "" where the absent one did."""

    id: str
    tenant: str
    absent: str  # human
    deputy: str  # human
    from_ns: int
    until_ns: int
    reason: str
    ended_ns: int = 0
    by: str = ""


@frozen
class LastClaims:
    """Groups that a person's verified token claimed when we last saw it."""

    tenant: str
    account: Account
    name: str
    groups: tuple[str, ...]
    at_ns: int


@frozen
class ReportedOutcome:
    """The reported outcome of an allowed call: "done", "failed" or "unknown"."""

    decision_id: str
    tenant: str
    caller: str
    call_digest: str  # an unknown outcome blocks an identical call where policy says so
    redemption_id: str
    outcome: str
    at_ns: int
    record_id: str


@frozen
class Notice:
    """One message to send about a request: in the outbox until it is delivered or given up."""

    id: str
    tenant: str
    channel: str  # name of a configured channel
    event: str  # "opened" | "resolved" | "reminder"
    approval_id: str
    due_ns: int
    attempts: int = 0
    done_ns: int = 0
    problem: str = ""
