"""Servicers of `ExplainService`, `ApprovalService` and `ConsentService`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from typing_extensions import override

from pdp.core.approvals.directory import Person
from pdp.core.call.request import Caller, Role
from pdp.people.assembly import ApprovalServices
from pdp.people.votes import challenge
from pdp.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    consent_pb2,
    consent_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
    types_pb2,
)
from pdp.wire.grpc.codec import approvals, decisions, explain, fields, pages, standing
from pdp.wire.grpc.interceptors import Context
from pdp.wire.grpc.servicer import RpcAdmission, Services, surface_of


class ExplainServicer(explain_pb2_grpc.ExplainServiceServicer):
    """`ExplainService`, for the role `explain`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = RpcAdmission(services.admission)

    @override
    async def Explain(self, request: explain_pb2.ExplainRequest, context: Context) -> explain_pb2.ExplainResponse:
        async with self._admission.admit(context, Role.EXPLAIN, "Explain") as caller:
            explanation, record = await self._services.explain(explain.why(request), caller)
            return await asyncio.to_thread(
                explain.response, explanation, record
            )  # it may hold some ten thousand facts


class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """`ApprovalService`, for the role `approve`. Every call identifies its person anew."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = RpcAdmission(services.admission)
        self._approvals = services.approvals

    @override
    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        async with self._admission.admit(context, Role.APPROVE, "ListApprovals") as caller:
            narrowed = approvals.approval_filter(request.filter)
            page = pages.page(request)
            person = await _person(self._approvals, request.credential, caller, context)
            views, after = await self._approvals.queue.list(person, narrowed, page)
            directory = self._approvals.directories.of(person.tenant)
            return approval_pb2.ListApprovalsResponse(
                approvals=(approvals.listed(view, directory) for view in views),
                next_page_token=pages.token(after, request),
            )

    @override
    async def GetApproval(
        self, request: approval_pb2.GetApprovalRequest, context: Context
    ) -> approval_pb2.GetApprovalResponse:
        async with self._admission.admit(context, Role.APPROVE, "GetApproval") as caller:
            approval_id = _id(request.approval_id, "approval_id")
            person = await _person(self._approvals, request.credential, caller, context)
            view = await self._approvals.queue.get(person, approval_id)
            return approvals.complete(view, self._approvals.directories.of(person.tenant), challenge(view))

    @override
    async def Vote(self, request: approval_pb2.VoteRequest, context: Context) -> approval_pb2.VoteResponse:
        async with self._admission.admit(context, Role.APPROVE, "Vote") as caller:
            ballot, approval_id = approvals.ballot(request), _id(request.approval_id, "approval_id")
            person = await _person(self._approvals, request.credential, caller, context)
            result = await self._approvals.votes.vote(person, approval_id, ballot)
            return approvals.voted(result, self._approvals.directories.of(person.tenant))

    @override
    async def WatchApprovals(
        self, request: approval_pb2.WatchApprovalsRequest, context: Context
    ) -> AsyncIterator[approval_pb2.WatchApprovalsResponse]:
        async with self._admission.admit(context, Role.APPROVE, "WatchApprovals", waits=True) as caller:
            narrowed = approvals.approval_filter(request.filter)
            cursor = fields.name(request.cursor, "cursor", limit=fields.MAX_WORD)
            person = await _person(self._approvals, request.credential, caller, context)
            async with aclosing(self._approvals.watchers.watch(person, narrowed, cursor)) as changes:
                async for view, cursor_after in changes:
                    await _person(self._approvals, request.credential, caller, context)  # until it expires
                    directory = self._approvals.directories.of(person.tenant)
                    shown = approvals.listed(view, directory) if view is not None else None
                    yield approval_pb2.WatchApprovalsResponse(approval=shown, cursor=cursor_after)

    @override
    async def ListGrants(
        self, request: approval_pb2.ListGrantsRequest, context: Context
    ) -> approval_pb2.ListGrantsResponse:
        async with self._admission.admit(context, Role.APPROVE, "ListGrants") as caller:
            narrowed, page = standing.grant_filter(request), pages.page(request)
            person = await _person(self._approvals, request.credential, caller, context)
            grants, after = await self._approvals.grants.list(person, narrowed, page)
            directory = self._approvals.directories.of(person.tenant)
            return approval_pb2.ListGrantsResponse(
                grants=(standing.grant(each, directory) for each in grants),
                next_page_token=pages.token(after, request),
            )

    @override
    async def RevokeGrant(
        self, request: approval_pb2.RevokeGrantRequest, context: Context
    ) -> approval_pb2.RevokeGrantResponse:
        async with self._admission.admit(context, Role.APPROVE, "RevokeGrant") as caller:
            request_id, grant_id = fields.request_id(request.request_id), _id(request.grant_id, "grant_id")
            reason = fields.text(request.reason, "reason", fields.MAX_REASON)
            person = await _person(self._approvals, request.credential, caller, context)
            grant, record = await self._approvals.grants.revoke(person, grant_id, reason, request_id)
            directory = self._approvals.directories.of(person.tenant)
            return approval_pb2.RevokeGrantResponse(
                grant=standing.grant(grant, directory), record=decisions.record_ref(record)
            )

    @override
    async def OpenCanary(
        self, request: approval_pb2.OpenCanaryRequest, context: Context
    ) -> approval_pb2.OpenCanaryResponse:
        async with self._admission.admit(context, Role.APPROVE, "OpenCanary") as caller:
            request_id, like = fields.request_id(request.request_id), _id(request.like, "like")
            arguments = fields.data(request.arguments_json, "arguments_json")
            person = await _person(self._approvals, request.credential, caller, context)
            approval_id, record = await self._approvals.canaries.open(person, like, arguments, request_id)
            return approval_pb2.OpenCanaryResponse(approval_id=approval_id, record=decisions.record_ref(record))

    @override
    async def RequestDeclassification(
        self, request: approval_pb2.RequestDeclassificationRequest, context: Context
    ) -> approval_pb2.RequestDeclassificationResponse:
        async with self._admission.admit(context, Role.APPROVE, "RequestDeclassification") as caller:
            asked = approvals.declassification(request, caller)
            person = await _person(self._approvals, request.credential, caller, context)
            approval_id, record = await self._approvals.declassifications.ask(person, asked)
            return approval_pb2.RequestDeclassificationResponse(
                approval_id=approval_id, record=decisions.record_ref(record)
            )

    @override
    async def RequestQuarantineLift(
        self, request: approval_pb2.RequestQuarantineLiftRequest, context: Context
    ) -> approval_pb2.RequestQuarantineLiftResponse:
        async with self._admission.admit(context, Role.APPROVE, "RequestQuarantineLift") as caller:
            asked = approvals.quarantine_lift(request, caller)
            person = await _person(self._approvals, request.credential, caller, context)
            approval_id, record = await self._approvals.lifts.ask(person, asked)
            return approval_pb2.RequestQuarantineLiftResponse(
                approval_id=approval_id, record=decisions.record_ref(record)
            )


class ConsentServicer(consent_pb2_grpc.ConsentServiceServicer):
    """`ConsentService`, for the role `subject`. Every call identifies its person anew."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = RpcAdmission(services.admission)
        self._approvals = services.approvals

    @override
    async def ListConsents(
        self, request: consent_pb2.ListConsentsRequest, context: Context
    ) -> consent_pb2.ListConsentsResponse:
        async with self._admission.admit(context, Role.SUBJECT, "ListConsents") as caller:
            states, page = standing.consent_states(request), pages.page(request)
            consent_id = fields.name(request.consent_id, "consent_id", limit=fields.MAX_WORD)
            person = await _person(self._approvals, request.credential, caller, context)
            consents, after = await self._approvals.consents.list(person, page, states=states, consent_id=consent_id)
            directory = self._approvals.directories.of(person.tenant)
            return consent_pb2.ListConsentsResponse(
                consents=(standing.consent(each, directory) for each in consents),
                next_page_token=pages.token(after, request),
            )

    @override
    async def GrantConsent(
        self, request: consent_pb2.GrantConsentRequest, context: Context
    ) -> consent_pb2.GrantConsentResponse:
        async with self._admission.admit(context, Role.SUBJECT, "GrantConsent") as caller:
            agreement = standing.agreement(request)
            person = await _person(self._approvals, request.credential, caller, context)
            consent, record = await self._approvals.consents.grant(person, agreement)
            return standing.granted(consent, record, self._approvals.directories.of(person.tenant))

    @override
    async def RevokeConsent(
        self, request: consent_pb2.RevokeConsentRequest, context: Context
    ) -> consent_pb2.RevokeConsentResponse:
        async with self._admission.admit(context, Role.SUBJECT, "RevokeConsent") as caller:
            request_id, consent_id = fields.request_id(request.request_id), _id(request.consent_id, "consent_id")
            person = await _person(self._approvals, request.credential, caller, context)
            consent, record = await self._approvals.consents.revoke(person, consent_id, request_id)
            return standing.revoked(consent, record, self._approvals.directories.of(person.tenant))


async def _person(
    services: ApprovalServices, credential: types_pb2.Credential, caller: Caller, context: Context
) -> Person:
    """The person who acts. Raises Unauthenticated, Forbidden."""
    return await services.persons.identify(caller, decisions.credential(credential), surface_of(context))


def _id(value: str, field: str) -> str:
    return fields.name(value, field, limit=fields.MAX_WORD, mandatory=True)
