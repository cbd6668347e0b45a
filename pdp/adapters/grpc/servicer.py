"""The services with bodies. Every call is admitted for its role first; one without a body is refused only then, so
that nobody learns anything by asking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import NoReturn

from typing_extensions import override

from pdp.adapters.grpc.codec import admin, batch, decisions, wait
from pdp.adapters.grpc.interceptors import time_left
from pdp.adapters.grpc.peer import Context, peer_of
from pdp.core.errors import InvalidRequest, Unsupported
from pdp.core.request import Caller, Role
from pdp.ports.telemetry import SILENT, Telemetry
from pdp.service.admission import Admission
from pdp.service.approvals.assembly import ApprovalServices
from pdp.service.approvals.wait import Waiting
from pdp.service.batch import Batch
from pdp.service.decide import Decide
from pdp.service.explain import Explain
from pdp.service.filter import Filter
from pdp.service.operations.admin import Admin
from pdp.service.operations.reload import Reloads
from pdp.service.outcomes import Outcomes
from pdp.service.records import Records
from pdp.v1 import (
    admin_pb2,
    admin_pb2_grpc,
    audit_pb2,
    audit_pb2_grpc,
    decision_pb2,
    decision_pb2_grpc,
)


@dataclass(frozen=True, slots=True)
class Services:
    """What is served."""

    admission: Admission
    decide: Decide
    batch: Batch
    filter: Filter
    admin: Admin
    reloads: Reloads
    records: Records
    explain: Explain
    waiting: Waiting
    outcomes: Outcomes
    approvals: ApprovalServices
    telemetry: Telemetry = SILENT


_ROLES = {
    "pdp.v1.DecisionService": Role.DECIDE,
    "pdp.v1.ExplainService": Role.EXPLAIN,
    "pdp.v1.ApprovalService": Role.APPROVE,
    "pdp.v1.ConsentService": Role.SUBJECT,
    "pdp.v1.AuditService": Role.AUDIT,
    "pdp.v1.AdminService": Role.OPERATE,
}


class RpcAdmission:
    """Lets calls in, and refuses those that have no body in this release."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def admit(
        self, context: Context, role: Role, rpc: str, *, waits: bool = False
    ) -> AbstractAsyncContextManager[Caller]:
        """See `Admission.admit`."""
        return self._admission.admit(peer_of(context), role, rpc, context.time_remaining(), waits=waits)

    def until(self, context: Context) -> int:
        """See `Admission.until`."""
        return self._admission.until(time_left(context))

    async def refuse(self, context: Context, role: Role, rpc: str) -> NoReturn:
        """Admit, then say that `rpc` has no body. Raises Unsupported, or whatever keeps the caller out."""
        async with self.admit(context, role, rpc):
            raise Unsupported(
                "service.unsupported", f"{rpc} is part of the API, but this release does not answer it."
            )

    async def unreadable(self, context: Context, method: str, fault: InvalidRequest) -> NoReturn:
        """Admit to `method` (`/service/rpc`), then say `fault`, so that bytes which are no message leave a record
        like every other malformed request. Raises `fault`, or whatever keeps the caller out."""
        _, service, rpc = method.split("/")
        role = _ROLES.get(service)
        if role is None:  # health and reflection have no door
            raise fault
        async with self.admit(context, role, rpc):
            raise fault


class DecisionServicer(decision_pb2_grpc.DecisionServiceServicer):
    """`DecisionService`, for the role `decide`."""

    def __init__(self, services: Services) -> None:
        self._admission = RpcAdmission(services.admission)
        self._decide = services.decide
        self._batch = services.batch
        self._filter = services.filter
        self._waiting = services.waiting
        self._outcomes = services.outcomes
        self._telemetry = services.telemetry

    @override
    async def Decide(self, request: decision_pb2.DecideRequest, context: Context) -> decision_pb2.DecideResponse:
        async with self._admission.admit(context, Role.DECIDE, "Decide") as caller:
            asked = decisions.ask(request, self._admission.until(context))
            answer, record = await self._decide(asked, caller)
            with self._telemetry.stage("answer"):
                return decisions.response(answer, record)

    @override
    async def FilterTools(
        self, request: decision_pb2.FilterToolsRequest, context: Context
    ) -> decision_pb2.FilterToolsResponse:
        async with self._admission.admit(context, Role.DECIDE, "FilterTools") as caller:
            answer, record = await self._filter(decisions.list_ask(request), caller)
            with self._telemetry.stage("answer"):
                return decisions.filter_response(answer, record)

    @override
    async def DecideBatch(
        self, request: decision_pb2.DecideBatchRequest, context: Context
    ) -> decision_pb2.DecideBatchResponse:
        async with self._admission.admit(context, Role.DECIDE, "DecideBatch") as caller:
            asked = batch.asks(request, self._admission.until(context))
            return batch.response(await self._batch(asked, caller))

    @override
    async def InspectResult(
        self, request_iterator: AsyncIterator[decision_pb2.InspectResultRequest], context: Context
    ) -> decision_pb2.InspectResultResponse:
        await self._admission.refuse(context, Role.DECIDE, "InspectResult")

    @override
    async def WaitDecision(
        self, request: decision_pb2.WaitDecisionRequest, context: Context
    ) -> decision_pb2.WaitDecisionResponse:
        async with self._admission.admit(context, Role.DECIDE, "WaitDecision", waits=True) as caller:
            token, credential, seconds = wait.wait(request, time_left(context))
            return wait.waited(await self._waiting(token, credential, seconds, caller))

    @override
    async def ReportOutcome(
        self, request: decision_pb2.ReportOutcomeRequest, context: Context
    ) -> decision_pb2.ReportOutcomeResponse:
        async with self._admission.admit(context, Role.DECIDE, "ReportOutcome") as caller:
            record = await self._outcomes(wait.report(request), caller)
            return decision_pb2.ReportOutcomeResponse(record=decisions.record_ref(record))

    @override
    async def EndSession(
        self, request: decision_pb2.EndSessionRequest, context: Context
    ) -> decision_pb2.EndSessionResponse:
        await self._admission.refuse(context, Role.DECIDE, "EndSession")


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """`AdminService`, for the role `operate`."""

    def __init__(self, services: Services) -> None:
        self._admission = RpcAdmission(services.admission)
        self._admin = services.admin
        self._reloads = services.reloads

    @override
    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.GetStatusResponse:
        async with self._admission.admit(context, Role.OPERATE, "GetStatus") as caller:
            return admin.status_response(await self._admin.status(), caller)

    @override
    async def Reload(self, request: admin_pb2.ReloadRequest, context: Context) -> admin_pb2.ReloadResponse:
        async with self._admission.admit(context, Role.OPERATE, "Reload") as caller:
            results, record = await self._reloads(admin.parts(request), caller.name)
            return admin.reload_response(results, record, caller)

    @override
    async def SetSwitch(self, request: admin_pb2.SetSwitchRequest, context: Context) -> admin_pb2.SetSwitchResponse:
        async with self._admission.admit(context, Role.OPERATE, "SetSwitch") as caller:
            return admin.switch_response(await self._admin.set_switch(admin.switch_ask(request), caller))


class AuditServicer(audit_pb2_grpc.AuditServiceServicer):
    """`AuditService`, for the role `audit`."""

    def __init__(self, services: Services) -> None:
        self._admission = RpcAdmission(services.admission)
        self._records = services.records

    @override
    async def GetRecord(self, request: audit_pb2.GetRecordRequest, context: Context) -> audit_pb2.GetRecordResponse:
        async with self._admission.admit(context, Role.AUDIT, "GetRecord") as caller:
            decision_id, index = admin.record_key(request)
            return admin.record_response(await self._records.get(caller, decision_id=decision_id, index=index))

    @override
    async def GetProof(self, request: audit_pb2.GetProofRequest, context: Context) -> audit_pb2.GetProofResponse:
        await self._admission.refuse(context, Role.AUDIT, "GetProof")

    @override
    async def GetCheckpoint(
        self, request: audit_pb2.GetCheckpointRequest, context: Context
    ) -> audit_pb2.GetCheckpointResponse:
        await self._admission.refuse(context, Role.AUDIT, "GetCheckpoint")

    @override
    async def SearchRecords(
        self, request: audit_pb2.SearchRecordsRequest, context: Context
    ) -> audit_pb2.SearchRecordsResponse:
        await self._admission.refuse(context, Role.AUDIT, "SearchRecords")
