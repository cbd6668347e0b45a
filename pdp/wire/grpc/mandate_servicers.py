"""`MandateService`, for the role `decide`."""

from __future__ import annotations

from pdp.core.call.request import Caller
from pdp.v1 import mandate_pb2 as pb
from pdp.wire.grpc.codec import mandates
from pdp.wire.grpc.codec.decisions import record_ref
from pdp.wire.grpc.servicer import CallerRpcs


class MandateRpcs(CallerRpcs):
    """`MandateService`."""

    service = pb.DESCRIPTOR.services_by_name["MandateService"]

    async def ProposeMandate(self, request: pb.ProposeMandateRequest, caller: Caller) -> pb.ProposeMandateResponse:
        session, credential, playbook = mandates.proposal(request)
        row, record = await self._services.mandates.propose(session, credential, caller, playbook)
        return pb.ProposeMandateResponse(mandate=mandates.mandate(row), record=record_ref(record))

    async def ListMandates(self, request: pb.ListMandatesRequest, caller: Caller) -> pb.ListMandatesResponse:
        rows = await self._services.mandates.list(*mandates.of_session(request), caller)
        return pb.ListMandatesResponse(mandates=map(mandates.mandate, rows))

    async def EndMandate(self, request: pb.EndMandateRequest, caller: Caller) -> pb.EndMandateResponse:
        record = await self._services.mandates.end(*mandates.end(request), caller)
        return pb.EndMandateResponse(record=record_ref(record))
