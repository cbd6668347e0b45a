"""People's acts, for asyncio."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from pdp.client import channel
from pdp.client.requests_approvals import (
    Ballot,
    Consent,
    Filter,
    Token,
    agree,
    credential,
    filter_of,
    metadata,
    new_id,
    numbers,
    pause,
    refused,
    told,
    vote,
)
from pdp.v1 import approval_pb2, approval_pb2_grpc, consent_pb2, consent_pb2_grpc, types_pb2

Answer = TypeVar("Answer")


class AsyncApprovalClient:
    """As `pdp.client.Desk`, for asyncio. Make and use it within one running loop."""

    def __init__(
        self,
        target: str,
        person: Token,
        *,
        tls: channel.Tls | None = None,
        token: Token | None = None,
        timeout: float = 10.0,
        surface: str = "",
    ) -> None:
        self._who = person
        self._token = token
        self._timeout = timeout
        self._surface = surface
        self._channel = channel.asynchronous(target, tls)
        self._approvals = approval_pb2_grpc.ApprovalServiceStub(self._channel)
        self._consents = consent_pb2_grpc.ConsentServiceStub(self._channel)

    async def list_approvals(
        self, wanted: Filter | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> approval_pb2.ListApprovalsResponse:
        """As `ApprovalClient.list_approvals`."""
        request = approval_pb2.ListApprovalsRequest(
            credential=self._person(), filter=filter_of(wanted), page_size=page_size, page_token=page_token
        )
        return await self._ask(self._approvals.ListApprovals, request)

    async def get_approval(self, approval_id: str) -> approval_pb2.GetApprovalResponse:
        """As `ApprovalClient.get_approval`."""
        request = approval_pb2.GetApprovalRequest(credential=self._person(), approval_id=approval_id)
        return await self._ask(self._approvals.GetApproval, request)

    async def vote(
        self, approval_id: str, ballot: Ballot, *, request_id: str | None = None
    ) -> approval_pb2.VoteResponse:
        """As `ApprovalClient.vote`."""
        request = vote(self._person(), approval_id, ballot, new_id(request_id))
        return await self._ask(self._approvals.Vote, request)

    async def watch(
        self, wanted: Filter | None = None, cursor: str = ""
    ) -> AsyncIterator[approval_pb2.WatchApprovalsResponse]:
        """As `ApprovalClient.watch`."""
        request = approval_pb2.WatchApprovalsRequest(
            credential=self._person(), filter=filter_of(wanted), cursor=cursor
        )
        stream = self._approvals.WatchApprovals(request, metadata=self._metadata())
        try:
            async for change in stream:
                yield change
        except grpc.RpcError as error:
            raise refused(error) from None
        finally:
            stream.cancel()

    async def open_canary(
        self, like: str, arguments: Mapping[str, Any], *, request_id: str | None = None
    ) -> approval_pb2.OpenCanaryResponse:
        """Open a request that looks like an earlier one and can never be used. For operators."""
        request = approval_pb2.OpenCanaryRequest(
            request_id=new_id(request_id),
            credential=self._person(),
            like=like,
            arguments_json=json.dumps(arguments).encode(),
        )
        return await self._ask(self._approvals.OpenCanary, request)

    async def list_grants(
        self,
        *,
        states: tuple[str, ...] = (),
        server: str = "",
        tool: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> approval_pb2.ListGrantsResponse:
        """As `ApprovalClient.list_grants`."""
        request = approval_pb2.ListGrantsRequest(
            credential=self._person(),
            states=numbers(approval_pb2.GrantState, "GRANT_STATE_", states),
            server=server,
            tool=tool,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._ask(self._approvals.ListGrants, request)

    async def revoke_grant(
        self, grant_id: str, reason: str = "", *, request_id: str | None = None
    ) -> approval_pb2.RevokeGrantResponse:
        """As `ApprovalClient.revoke_grant`."""
        request = approval_pb2.RevokeGrantRequest(
            request_id=new_id(request_id), credential=self._person(), grant_id=grant_id, reason=reason
        )
        return await self._ask(self._approvals.RevokeGrant, request)

    async def list_consents(
        self, *, states: tuple[str, ...] = (), consent_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> consent_pb2.ListConsentsResponse:
        """As `ApprovalClient.list_consents`."""
        request = consent_pb2.ListConsentsRequest(
            credential=self._person(),
            states=numbers(consent_pb2.ConsentState, "CONSENT_STATE_", states),
            consent_id=consent_id,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._ask(self._consents.ListConsents, request)

    async def grant_consent(
        self,
        what: str | Consent,
        *,
        presented: str = "",
        expires: datetime | None = None,
        request_id: str | None = None,
    ) -> consent_pb2.GrantConsentResponse:
        """As `ApprovalClient.grant_consent`."""
        request = agree(self._person(), what, presented, expires, new_id(request_id))
        return await self._ask(self._consents.GrantConsent, request)

    async def revoke_consent(
        self, consent_id: str, *, request_id: str | None = None
    ) -> consent_pb2.RevokeConsentResponse:
        """As `ApprovalClient.revoke_consent`."""
        request = consent_pb2.RevokeConsentRequest(
            request_id=new_id(request_id), credential=self._person(), consent_id=consent_id
        )
        return await self._ask(self._consents.RevokeConsent, request)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _person(self) -> types_pb2.Credential:
        return credential(told(self._who))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return metadata(told(self._token), self._surface)

    async def _ask(self, send: Callable[..., Awaitable[Answer]], request: Any) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await send(request, timeout=self._timeout, metadata=self._metadata())
            except grpc.RpcError as error:
                seconds = pause(attempt, error)
                if seconds is None:
                    raise refused(error) from None
            await asyncio.sleep(seconds)
