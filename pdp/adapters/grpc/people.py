"""The services for people and the security team. Those that have no body in this release have a door all the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

from typing_extensions import override

from pdp.adapters.grpc import explaining
from pdp.adapters.grpc.peer import Context
from pdp.adapters.grpc.servicer import Admission, Services
from pdp.core.request import Role
from pdp.v1 import (
    approval_pb2,
    approval_pb2_grpc,
    consent_pb2,
    consent_pb2_grpc,
    explain_pb2,
    explain_pb2_grpc,
)


class ExplainServicer(explain_pb2_grpc.ExplainServiceServicer):
    """`ExplainService`, for the role `explain`."""

    def __init__(self, services: Services) -> None:
        self._admission = Admission(services.entrance)
        self._explain = services.explain

    @override
    async def Explain(self, request: explain_pb2.ExplainRequest, context: Context) -> explain_pb2.ExplainResponse:
        async with self._admission.admit(context, Role.EXPLAIN, "Explain") as caller:
            return explaining.response(*await self._explain(explaining.why(request), caller))


class ApprovalServicer(approval_pb2_grpc.ApprovalServiceServicer):
    """`ApprovalService`, for the role `approve`."""

    def __init__(self, services: Services) -> None:
        self._admission = Admission(services.entrance)

    @override
    async def ListApprovals(
        self, request: approval_pb2.ListApprovalsRequest, context: Context
    ) -> approval_pb2.ListApprovalsResponse:
        await self._admission.refuse(context, Role.APPROVE, "ListApprovals")

    @override
    async def GetApproval(
        self, request: approval_pb2.GetApprovalRequest, context: Context
    ) -> approval_pb2.GetApprovalResponse:
        await self._admission.refuse(context, Role.APPROVE, "GetApproval")

    @override
    async def Vote(self, request: approval_pb2.VoteRequest, context: Context) -> approval_pb2.VoteResponse:
        await self._admission.refuse(context, Role.APPROVE, "Vote")

    @override
    async def WatchApprovals(
        self, request: approval_pb2.WatchApprovalsRequest, context: Context
    ) -> AsyncIterator[approval_pb2.WatchApprovalsResponse]:
        await self._admission.refuse(context, Role.APPROVE, "WatchApprovals")
        yield approval_pb2.WatchApprovalsResponse()  # makes it the stream that gRPC wants

    @override
    async def ListGrants(
        self, request: approval_pb2.ListGrantsRequest, context: Context
    ) -> approval_pb2.ListGrantsResponse:
        await self._admission.refuse(context, Role.APPROVE, "ListGrants")

    @override
    async def RevokeGrant(
        self, request: approval_pb2.RevokeGrantRequest, context: Context
    ) -> approval_pb2.RevokeGrantResponse:
        await self._admission.refuse(context, Role.APPROVE, "RevokeGrant")


class ConsentServicer(consent_pb2_grpc.ConsentServiceServicer):
    """`ConsentService`, for the role `subject`."""

    def __init__(self, services: Services) -> None:
        self._admission = Admission(services.entrance)

    @override
    async def ListConsents(
        self, request: consent_pb2.ListConsentsRequest, context: Context
    ) -> consent_pb2.ListConsentsResponse:
        await self._admission.refuse(context, Role.SUBJECT, "ListConsents")

    @override
    async def GrantConsent(
        self, request: consent_pb2.GrantConsentRequest, context: Context
    ) -> consent_pb2.GrantConsentResponse:
        await self._admission.refuse(context, Role.SUBJECT, "GrantConsent")

    @override
    async def RevokeConsent(
        self, request: consent_pb2.RevokeConsentRequest, context: Context
    ) -> consent_pb2.RevokeConsentResponse:
        await self._admission.refuse(context, Role.SUBJECT, "RevokeConsent")
