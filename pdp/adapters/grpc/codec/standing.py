"""Codec for standing answers, both ways: grants and consents."""

from __future__ import annotations

from pdp.adapters.grpc.codec import approvals, decide_response, enums, fields
from pdp.core.approvals.directory import Directory
from pdp.core.approvals.rows import Grant
from pdp.core.approvals.states import GrantState
from pdp.core.errors import InvalidRequest
from pdp.core.stored import RecordRef
from pdp.service.approvals.consents import Agreement, ConsentTerms, ConsentView
from pdp.service.approvals.grants import GrantFilter
from pdp.v1 import approval_pb2, consent_pb2


def grant_filter(given: approval_pb2.ListGrantsRequest) -> GrantFilter:
    """What is listed. Raises InvalidRequest naming the field."""
    return GrantFilter(
        states=enums.GRANT_STATES.word_set(given.states, "states") or frozenset({GrantState.ACTIVE}),
        server=fields.name(given.server, "server"),
        tool=fields.name(given.tool, "tool"),
        subject=approvals.account(given.subject, "subject") if given.HasField("subject") else None,
    )


def grant(found: Grant, directory: Directory) -> approval_pb2.Grant:
    """One grant. Its terms in minutes are those of its whole life."""
    minutes = -(-(found.expires_ns - found.issued_ns) // (60 * fields.NS)) if found.expires_ns else 0
    return approval_pb2.Grant(
        grant_id=found.id,
        state=enums.GRANT_STATES.numbers[found.state],
        subject=approvals.principal(found.subject, directory),
        agent=found.agent,
        server=found.server,
        tool=found.tool,
        session=found.session,
        terms=approval_pb2.GrantTerms(
            minutes=minutes,
            uses=found.uses,
            session_only=bool(found.session),
            arguments_schema_json=found.arguments_schema,
        ),
        used=found.used,
        issued_at=fields.timestamp(found.issued_ns),
        expires_at=fields.timestamp(found.expires_ns) if found.expires_ns else None,
        approval_id=found.approval_id,
        issued_by=(approvals.human(human, directory) for human in found.issued_by),
        element_json=found.requirement,
    )


def consent_states(given: consent_pb2.ListConsentsRequest) -> frozenset[str]:
    """What is listed. Raises InvalidRequest naming the field."""
    return enums.CONSENT_STATES.word_set(given.states, "states")


def agreement(given: consent_pb2.GrantConsentRequest) -> Agreement:
    """What the subject agrees to. Raises InvalidRequest naming the field."""
    match given.WhichOneof("what"):
        case "consent_id":
            what: str | ConsentTerms = fields.name(
                given.consent_id, "consent_id", limit=fields.MAX_WORD, mandatory=True
            )
        case "terms":
            what = _terms(given.terms)
        case _:
            raise InvalidRequest("what", "is missing; set consent_id or terms")
    expires_ns = fields.instant_ns(given.expires_at, "expires_at")
    if given.HasField("expires_at") and not expires_ns:
        raise InvalidRequest("expires_at", "is in the past")  # 0 would mean "as long as is allowed"
    return Agreement(
        request_id=fields.request_id(given.request_id),
        what=what,
        presented=fields.name(given.presented, "presented", limit=fields.MAX_WORD),
        expires_ns=expires_ns,
        passkey=fields.data(given.passkey_assertion_json, "passkey_assertion_json"),
    )


def consent(found: ConsentView, directory: Directory) -> consent_pb2.Consent:
    """One consent, or the open request for one."""
    made = consent_pb2.Consent(
        consent_id=found.id,
        state=enums.CONSENT_STATES.numbers[found.state],
        subject=approvals.principal(found.subject, directory),
        agent=found.agent,
        agent_name=found.agent_name,
        server=found.server,
        tool=found.tool,
        scope=found.scope,
        purpose=found.purpose,
        expires_at=fields.timestamp(found.expires_ns),
        assurance=enums.ASSURANCES.number(found.assurance),
        presented=found.presented,
    )
    for name, at_ns in (
        ("granted_at", found.granted_ns),
        ("ended_at", found.ended_ns),
        ("last_used_at", found.last_used_ns),
    ):
        if at_ns:
            getattr(made, name).CopyFrom(fields.timestamp(at_ns))
    return made


def granted(view: ConsentView, record: RecordRef, directory: Directory) -> consent_pb2.GrantConsentResponse:
    """A consent that is recorded."""
    return consent_pb2.GrantConsentResponse(
        consent=consent(view, directory), record=decide_response.record_ref(record)
    )


def revoked(view: ConsentView, record: RecordRef, directory: Directory) -> consent_pb2.RevokeConsentResponse:
    """A consent that has ended, or a request that was refused."""
    return consent_pb2.RevokeConsentResponse(
        consent=consent(view, directory), record=decide_response.record_ref(record)
    )


def _terms(given: consent_pb2.ConsentTerms) -> ConsentTerms:
    return ConsentTerms(
        agent=fields.name(given.agent, "terms.agent", mandatory=True),
        server=fields.name(given.server, "terms.server", mandatory=True),
        tool=fields.name(given.tool, "terms.tool"),
        scope=fields.name(given.scope, "terms.scope", mandatory=True),
        purpose=fields.name(given.purpose, "terms.purpose", limit=fields.MAX_REASON, mandatory=True),
    )
