"""Consents: a subject lets an agent use a server, a tool or a scope for a purpose until a date. Pure.

A consent is for one agent and one purpose; neither an approval nor another consent implies it.
"""

from __future__ import annotations

from pdp.core.approvals.call import CallContext
from pdp.core.outcome.requirement import Requirement
from pdp.core.rows.approvals import ASSURANCES, Approval, Consent


def covers(consent: Consent, requirement: Requirement, context: CallContext, at_ns: int) -> bool:
    """Whether a consent answers a requirement for this call now. Server, tool and scope of a consent may be "" (any);
    its agent and purpose never are."""
    call = context.call
    if requirement.kind != "consent" or consent.tenant != context.tenant or consent.subject != call.subject:
        return False
    if not consent.agent or consent.agent != call.agent or consent.purpose != requirement.purpose:
        return False
    if consent.tool and not consent.server:  # a tool's name says nothing without its server
        return False
    narrowed = ((consent.server, call.server), (consent.tool, call.tool), (consent.scope, requirement.scope))
    if any(bound and bound != needed for bound, needed in narrowed):
        return False
    return lasts(consent, at_ns) and _strong_enough(consent.assurance, requirement.min_assurance)


def lasts(consent: Consent, at_ns: int) -> bool:
    """Whether a consent is in force at an instant: not ended, and before `expires_ns`."""
    return not consent.ended_ns and consent.granted_ns <= at_ns < consent.expires_ns


def given(
    approval: Approval, requirement: Requirement, *, consent_id: str, expires_ns: int, assurance: str, at_ns: int
) -> Consent:
    """The consent that a request of kind `consent` asks for: to its agent, for its tool, scope and purpose."""
    call = approval.call
    return Consent(
        id=consent_id,
        tenant=approval.tenant,
        version=1,
        subject=call.subject,
        subject_index=approval.subject_index,
        agent=call.agent,
        server=call.server,
        tool=call.tool,
        scope=requirement.scope,
        purpose=requirement.purpose,
        granted_ns=at_ns,
        expires_ns=expires_ns,
        assurance=assurance,
        approval_id=approval.id,
    )


def _strong_enough(assurance: str, least: str) -> bool:
    return assurance in ASSURANCES and ASSURANCES.index(assurance) >= ASSURANCES.index(least)
