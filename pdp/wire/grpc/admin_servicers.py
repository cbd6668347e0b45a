"""`AdminService` and `AuditService`."""

from __future__ import annotations

from typing_extensions import override

from pdp.core.call.request import Role
from pdp.v1 import admin_pb2, admin_pb2_grpc, audit_pb2, audit_pb2_grpc
from pdp.wire.grpc.codec import admin, audit, pages
from pdp.wire.grpc.codec.decisions import record_ref
from pdp.wire.grpc.interceptors import Context
from pdp.wire.grpc.servicer import RpcAdmission, Services


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """`AdminService`, for the role `operate`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = RpcAdmission(services.admission)

    @override
    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.GetStatusResponse:
        async with self._admission.admit(context, Role.OPERATE, "GetStatus") as caller:
            return admin.status_response(await self._services.admin.status(), caller)

    @override
    async def Reload(self, request: admin_pb2.ReloadRequest, context: Context) -> admin_pb2.ReloadResponse:
        async with self._admission.admit(context, Role.OPERATE, "Reload") as caller:
            results, record = await self._services.reloads(admin.parts(request), caller.name)
            return admin.reload_response(results, record, caller)

    @override
    async def SetSwitch(self, request: admin_pb2.SetSwitchRequest, context: Context) -> admin_pb2.SetSwitchResponse:
        async with self._admission.admit(context, Role.OPERATE, "SetSwitch") as caller:
            return admin.switch_response(await self._services.admin.set_switch(admin.switch_ask(request), caller))

    @override
    async def EraseSubject(
        self, request: admin_pb2.EraseSubjectRequest, context: Context
    ) -> admin_pb2.EraseSubjectResponse:
        async with self._admission.admit(context, Role.OPERATE, "EraseSubject") as caller:
            who, reason = admin.erase_ask(request)
            return admin.erase_response(await self._services.erasures.erase(caller, who, reason))


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """`AuditService`, for the role `audit`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._admission = RpcAdmission(services.admission)

    @override
    async def GetRecord(self, request: audit_pb2.GetRecordRequest, context: Context) -> audit_pb2.GetRecordResponse:
        async with self._admission.admit(context, Role.AUDIT, "GetRecord") as caller:
            decision_id, index = admin.record_key(request)
            return admin.record_response(
                await self._services.records.get(caller, decision_id=decision_id, index=index)
            )

    @override
    async def GetProof(self, request: audit_pb2.GetProofRequest, context: Context) -> audit_pb2.GetProofResponse:
        async with self._admission.admit(context, Role.AUDIT, "GetProof") as caller:
            what, number, size = audit.asked(request)
            if what == "index":
                proof = await self._services.records.inclusion(caller, number, size)
                return audit_pb2.GetProofResponse(inclusion=audit.inclusion(proof))
            proof = await self._services.records.consistency(number, size)
            return audit_pb2.GetProofResponse(consistency=audit.consistency(proof))

    @override
    async def GetCheckpoint(
        self, request: audit_pb2.GetCheckpointRequest, context: Context
    ) -> audit_pb2.GetCheckpointResponse:
        async with self._admission.admit(context, Role.AUDIT, "GetCheckpoint"):
            return audit.checkpoint(self._services.records.checkpoint())

    @override
    async def SearchRecords(
        self, request: audit_pb2.SearchRecordsRequest, context: Context
    ) -> audit_pb2.SearchRecordsResponse:
        async with self._admission.admit(context, Role.AUDIT, "SearchRecords") as caller:
            ask, size, before = audit.search_ask(request)
            found = await self._services.records.search(caller, ask, size, before)
            return audit_pb2.SearchRecordsResponse(
                records=(audit.match(each, whole=request.with_records) for each in found.matches),
                next_page_token=pages.token(str(found.before), request) if found.before else "",
            )

    @override
    async def RecordReview(
        self, request: audit_pb2.RecordReviewRequest, context: Context
    ) -> audit_pb2.RecordReviewResponse:
        async with self._admission.admit(context, Role.AUDIT, "RecordReview") as caller:
            found, reason = audit.review_ask(request)
            ref = await self._services.records.review(caller, found, reason)
            return audit_pb2.RecordReviewResponse(record=record_ref(ref))
