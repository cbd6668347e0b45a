"""People's acts, for threads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

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


class ApprovalClient:
    """Where a person sees what waits for people, votes, and manages what it agreed to.

    `person` is the person's own token, made for this caller: never an agent's. `target`, `tls` and `token` are as for
    `Client`; `surface` says by what the person acts, for the record. Every call raises RefusedError.
    """

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
        self._channel = channel.threaded(target, tls)
        self._approvals = approval_pb2_grpc.ApprovalServiceStub(self._channel)
        self._consents = consent_pb2_grpc.ConsentServiceStub(self._channel)

    def list_approvals(
        self, wanted: Filter | None = None, *, page_size: int = 0, page_token: str = ""
    ) -> approval_pb2.ListApprovalsResponse:
        """A page of the requests that the person may see, oldest first; the open ones unless told otherwise."""
        request = approval_pb2.ListApprovalsRequest(
            credential=self._person(), filter=filter_of(wanted), page_size=page_size, page_token=page_token
        )
        return self._ask(self._approvals.ListApprovals, request)

    def get_approval(self, approval_id: str) -> approval_pb2.GetApprovalResponse:
        """One request as the person is to judge it. The read is recorded."""
        request = approval_pb2.GetApprovalRequest(credential=self._person(), approval_id=approval_id)
        return self._ask(self._approvals.GetApproval, request)

    def vote(self, approval_id: str, ballot: Ballot, *, request_id: str | None = None) -> approval_pb2.VoteResponse:
        """Approve, deny or take back one request. Give the `request_id` of a lost answer to ask for it again."""
        request = vote(self._person(), approval_id, ballot, new_id(request_id))
        return self._ask(self._approvals.Vote, request)

    def watch(self, wanted: Filter | None = None, cursor: str = "") -> Iterator[approval_pb2.WatchApprovalsResponse]:
        """Each change of a request that the person may see, until the iterator is closed. A message without
        `approval` is a sign of life."""
        request = approval_pb2.WatchApprovalsRequest(
            credential=self._person(), filter=filter_of(wanted), cursor=cursor
        )
        stream = self._approvals.WatchApprovals(request, metadata=self._metadata())
        try:
            yield from stream
        except grpc.RpcError as error:
            raise refused(error) from None
        finally:
            stream.cancel()

    def open_canary(
        self, like: str, arguments: Mapping[str, Any], *, request_id: str | None = None
    ) -> approval_pb2.OpenCanaryResponse:
        """Open a request that looks like an earlier one and can never be used. For operators."""
        request = approval_pb2.OpenCanaryRequest(
            request_id=new_id(request_id),
            credential=self._person(),
            like=like,
            arguments_json=json.dumps(arguments).encode(),
        )
        return self._ask(self._approvals.OpenCanary, request)

    def list_grants(
        self,
        *,
        states: tuple[str, ...] = (),
        server: str = "",
        tool: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> approval_pb2.ListGrantsResponse:
        """A page of the grants that the person may see, newest first; the active ones unless told otherwise."""
        request = approval_pb2.ListGrantsRequest(
            credential=self._person(),
            states=numbers(approval_pb2.GrantState, "GRANT_STATE_", states),
            server=server,
            tool=tool,
            page_size=page_size,
            page_token=page_token,
        )
        return self._ask(self._approvals.ListGrants, request)

    def revoke_grant(
        self, grant_id: str, reason: str = "", *, request_id: str | None = None
    ) -> approval_pb2.RevokeGrantResponse:
        """End a grant at once."""
        request = approval_pb2.RevokeGrantRequest(
            request_id=new_id(request_id), credential=self._person(), grant_id=grant_id, reason=reason
        )
        return self._ask(self._approvals.RevokeGrant, request)

    def list_consents(
        self, *, states: tuple[str, ...] = (), consent_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> consent_pb2.ListConsentsResponse:
        """A page of the person's own consents and of what asks for them."""
        request = consent_pb2.ListConsentsRequest(
            credential=self._person(),
            states=numbers(consent_pb2.ConsentState, "CONSENT_STATE_", states),
            consent_id=consent_id,
            page_size=page_size,
            page_token=page_token,
        )
        return self._ask(self._consents.ListConsents, request)

    def grant_consent(
        self,
        what: str | Consent,
        *,
        presented: str = "",
        expires: datetime | None = None,
        request_id: str | None = None,
    ) -> consent_pb2.GrantConsentResponse:
        """Agree to an open request (its id), or to terms of one's own."""
        request = agree(self._person(), what, presented, expires, new_id(request_id))
        return self._ask(self._consents.GrantConsent, request)

    def revoke_consent(self, consent_id: str, *, request_id: str | None = None) -> consent_pb2.RevokeConsentResponse:
        """End a consent at once, or refuse what asks for one."""
        request = consent_pb2.RevokeConsentRequest(
            request_id=new_id(request_id), credential=self._person(), consent_id=consent_id
        )
        return self._ask(self._consents.RevokeConsent, request)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _person(self) -> types_pb2.Credential:
        return credential(told(self._who))

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return metadata(told(self._token), self._surface)

    def _ask(self, send: Callable[..., Answer], request: Any) -> Answer:
        attempt = 0
        while True:
            attempt += 1
            try:
                return send(request, timeout=self._timeout, metadata=self._metadata())
            except grpc.RpcError as error:
                seconds = pause(attempt, error)
                if seconds is None:
                    raise refused(error) from None
            time.sleep(seconds)
