"""The clients for asyncio. sync.py runs the same code for threads.

What differs between the two stands in channel.py. What they do without I/O is in requests_decide.py,
requests_approvals.py and responses.py.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar

import grpc

from pdp.client import channel, requests_approvals, requests_decide, results
from pdp.client.requests_approvals import Ballot, Consent, Filter
from pdp.client.requests_decide import (
    BatchQuestion,
    CallQuestion,
    EndQuestion,
    ListQuestion,
    MandateQuestion,
    OutcomeQuestion,
    Plan,
    Question,
    WaitQuestion,
)
from pdp.core.caller.values import (
    Credential,
    Decision,
    Inspected,
    Listing,
    Outcome,
    Reported,
    Session,
    ToolCall,
    ToolList,
    Waited,
)
from pdp.v1 import approval_pb2, approval_pb2_grpc, consent_pb2, consent_pb2_grpc, types_pb2

Answer = TypeVar("Answer")


class AsyncClient:
    """A client of `DecisionService`.

    `target` is `unix:PATH`, `HOST:PORT` or `[IPV6]:PORT`; anything but a Unix socket or a literal
    loopback address needs `tls`, else PlaintextRefusedError. `token` is this caller's own token, sent as
    `authorization`, or a function that returns it, called for every attempt; it is never the subject's.
    `timeout` in seconds is for a whole question, its one retry included. `obligations` are the kinds that
    this caller honours.

    `observe` is for a pilot: where an operator lets policy not bind this caller, for as long as that holds, what it
    denies or holds is an allow here, whose `Decision.observed` says what it would have been; a list has what policy
    alone hides.

    Waits have a connection of their own. `max_calls` bounds the calls on each: more wait for their turn within their
    time, then are denied, `client.overloaded`. A server refuses what is beyond its `server.max_streams`.

    `Client` is safe to share between threads. An `AsyncClient` is made and used within one running loop; its `token`
    may be a coroutine function, and a task that is cancelled during a call is cancelled.
    """

    _transport: ClassVar = channel.LOOP

    def __init__(  # noqa: PLR0913 - how to ask
        self,
        target: str,
        *,
        tls: channel.Tls | None = None,
        token: channel.AsyncToken | None = None,
        timeout: float = 5.0,
        obligations: Iterable[str] = (),
        observe: bool = False,
        max_calls: int = channel.MAX_CALLS,
    ) -> None:
        self._token = token
        self._timeout = timeout
        self._obligations = frozenset(obligations)
        self._observe = observe
        self._calls = channel.Connection(self._transport, target, tls, max_calls)
        self._waits = channel.Connection(self._transport, target, tls, max_calls)

    async def decide(
        self,
        call: ToolCall,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Decision:
        """May `call` be carried out now, for the subject of `credential` (its access token, or Claims)?

        Never raises: what goes wrong is a denial with a code `client.*`. `request_id` is made when none is given;
        give the one of a lost answer to ask for it again.
        """
        question = CallQuestion(
            requests_decide.new_id(request_id), call, credential, session, self._obligations, self._observe
        )
        return await self._ask(question, self._calls, self._calls.stub.Decide, timeout)

    async def decide_batch(
        self,
        calls: Sequence[ToolCall],
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_ids: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> tuple[Decision, ...]:
        """May `calls` be carried out now, in this order, for one subject? One decision for each call.

        Never raises. `request_ids` are as many as calls, or none: then they are made.
        """
        question = BatchQuestion.of(
            requests_decide.new_ids(request_ids, calls),
            calls,
            credential,
            session,
            self._obligations,
            observe=self._observe,
        )
        return await self._ask(question, self._calls, self._calls.stub.DecideBatch, timeout)

    async def filter_tools(
        self,
        listing: Listing,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ToolList:
        """Which tools may the subject see? Never raises; a list that could not be decided is empty."""
        question = ListQuestion(requests_decide.new_id(request_id), listing, credential, session, self._observe)
        return await self._ask(question, self._calls, self._calls.stub.FilterTools, timeout)

    async def wait(self, resume_token: str, credential: Credential = None, max_wait: float = 50.0) -> Waited:
        """Wait until it is worth asking a pending call again, `max_wait` seconds at most (the service allows 50).

        `credential` is that of the call. Never raises, and permits nothing: ask with `decide` for the answer.
        """
        question = WaitQuestion(resume_token, credential, max_wait)
        patience = question.patience(self._timeout)
        return await self._ask(question, self._waits, self._waits.stub.WaitDecision, patience)

    async def report_outcome(
        self,
        decision_id: str,
        outcome: Outcome,
        *,
        redemption_id: str = "",
        finished_at: datetime | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Reported:
        """Say what became of an allowed call: "done", "failed" (without effect), or "unknown", which one of these
        may follow. `redemption_id` is the answer's, where it had one. Never raises; the same report again is safe.
        """
        question = OutcomeQuestion(
            requests_decide.new_id(request_id), decision_id, outcome, redemption_id, finished_at
        )
        return await self._ask(question, self._calls, self._calls.stub.ReportOutcome, timeout)

    async def inspect_result(  # noqa: PLR0913 - what a result is judged by
        self,
        decision: Decision,
        result: Mapping[str, Any],
        credential: Credential = None,
        *,
        session: Session | None = None,
        effects: Sequence[tuple[str, str]] = (),
        observed: tuple[Sequence[str], str] | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Inspected:
        """May the result of the call that `decision` allowed be passed on, and what of it?

        `result` is an MCP `result` object, `credential` and `session` are those of the call, `effects` what the tool
        was seen to do, as kind and object: `("network.connect", "api.example.org:443")`. `observed` says which kinds
        would have been seen, and why some may have been missed all the same, "" where none was; None: nobody looked.
        Never raises: whatever goes wrong withholds the result. The same result again, under the same `request_id`, is
        safe.
        """
        question = results.ResultQuestion(
            requests_decide.new_id(request_id),
            decision.decision_id,
            decision.redemption_id,
            result,
            credential,
            session,
            effects,
            observed,
        )
        send = results.streamed(self._calls.stub.InspectResult)
        return await self._ask(question, self._calls, send, timeout)

    async def end_session(
        self,
        session: Session,
        credential: Credential = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Reported:
        """End a session: later calls under its id are denied, and what was bound to it ends. Never raises. One that
        has ended already is not found (`server_code` "session.unknown").
        """
        question = EndQuestion(requests_decide.new_id(request_id), session, credential)
        return await self._ask(question, self._calls, self._calls.stub.EndSession, timeout)

    async def propose_mandate(
        self,
        session: Session,
        playbook: str,
        credential: Credential = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Reported:
        """Have the task of a session planned by a playbook of the policy ("pack/name"), before its first call. Never
        raises; where it is not `noted`, the session goes on as without a mandate. The same again is safe.
        """
        question = MandateQuestion(requests_decide.new_id(request_id), session, credential, playbook)
        return await self._ask(question, self._calls, self._calls.mandates.ProposeMandate, timeout)

    async def end_mandate(
        self,
        session: Session,
        credential: Credential = None,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> Reported:
        """End the mandate of a session at once. Never raises; without one `server_code` is "mandate.none"."""
        question = MandateQuestion(requests_decide.new_id(request_id), session, credential)
        return await self._ask(question, self._calls, self._calls.mandates.EndMandate, timeout)

    async def close(self) -> None:
        """Close the connections; questions after that are denied."""
        await self._calls.channel.close()
        await self._waits.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _ask(
        self,
        question: Question[Answer],
        connection: channel.Connection,
        send: channel.Send[Any],
        timeout: float | None,
    ) -> Answer:
        try:
            request = question.request()
            plan = Plan(time.monotonic() + (self._timeout if timeout is None else timeout))
            attempt = 0
            while True:
                attempt += 1
                if not await connection.slots.enter(plan.timeout(time.monotonic())):
                    return requests_decide.overloaded(question)
                try:
                    metadata = await self._metadata()
                    left = plan.timeout(time.monotonic())
                    if left <= 0:  # gRPC would take it for no deadline at all
                        return requests_decide.too_late(question)
                    response = await send(request, timeout=left, metadata=metadata)
                except grpc.RpcError as error:
                    pause, denial = requests_decide.failed(question, plan, attempt, error, time.monotonic())
                    if pause is None:
                        return denial
                else:
                    return question.read(response, time.time())
                finally:
                    connection.slots.release()
                await self._transport.sleep(pause)
        except Exception as error:  # noqa: BLE001 - nothing on this side may become a permission or an exception
            return requests_decide.fault(question, error)

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._token is None:
            return ()
        token = await channel.token_text(self._token)
        return (("authorization", f"Bearer {token}"),)


class AsyncApprovalClient:
    """A client of `ApprovalService` and `ConsentService`, for one person: requests, votes, grants, consents.

    `person` is the person's own token, made for this caller: never an agent's. `target`, `tls` and `token` are as for
    `Client`; `surface` names the program in which the person acts, for the record. Every call raises RefusedError.
    """

    _transport: ClassVar = channel.LOOP

    def __init__(
        self,
        target: str,
        person: channel.AsyncToken,
        *,
        tls: channel.Tls | None = None,
        token: channel.AsyncToken | None = None,
        timeout: float = 10.0,
        surface: str = "",
    ) -> None:
        self._person_token = person
        self._token = token
        self._timeout = timeout
        self._surface = surface
        self._channel = self._transport.connect(target, tls)
        self._approvals = approval_pb2_grpc.ApprovalServiceStub(self._channel)
        self._consents = consent_pb2_grpc.ConsentServiceStub(self._channel)

    async def list_approvals(
        self, wanted: Filter | None = None, *, page_size: int = 0, page_token: str = "", fold: bool = False
    ) -> approval_pb2.ListApprovalsResponse:
        """A page of the requests that the person may see, the open ones unless told otherwise: these by risk, then
        age, with `fold` the many of one subject as one."""
        request = approval_pb2.ListApprovalsRequest(
            filter=requests_approvals.filter_of(wanted),
            page_size=page_size,
            page_token=page_token,
            fold=fold,
        )
        return await self._ask(self._approvals.ListApprovals, request)

    async def get_approval(self, approval_id: str) -> approval_pb2.GetApprovalResponse:
        """One request as the person is to judge it. The read is recorded."""
        request = approval_pb2.GetApprovalRequest(approval_id=approval_id)
        return await self._ask(self._approvals.GetApproval, request)

    async def vote(
        self, approval_id: str, ballot: Ballot, *, request_id: str | None = None
    ) -> approval_pb2.VoteResponse:
        """Approve, deny or take back one request. Give the `request_id` of a lost answer to ask for it again."""
        request = requests_approvals.vote(approval_id, ballot, requests_approvals.new_id(request_id))
        return await self._ask(self._approvals.Vote, request)

    async def watch(
        self, wanted: Filter | None = None, cursor: str = ""
    ) -> AsyncGenerator[approval_pb2.WatchApprovalsResponse, None]:
        """Each change of a request that the person may see, until the iterator is closed. A message without
        `approval` is a sign of life."""
        request = approval_pb2.WatchApprovalsRequest(filter=requests_approvals.filter_of(wanted), cursor=cursor)
        request.credential.bearer = await channel.token_text(self._person_token)
        stream = self._approvals.WatchApprovals(request, metadata=await self._metadata())
        try:
            async for change in stream:
                yield change
        except grpc.RpcError as error:
            raise requests_approvals.refused(error) from None
        finally:
            stream.cancel()

    async def open_canary(
        self, like: str, arguments: Mapping[str, Any], *, request_id: str | None = None
    ) -> approval_pb2.OpenCanaryResponse:
        """Open a request that looks like an earlier one and can never be used. For operators."""
        request = approval_pb2.OpenCanaryRequest(
            request_id=requests_approvals.new_id(request_id),
            like=like,
            arguments_json=json.dumps(arguments).encode(),
        )
        return await self._ask(self._approvals.OpenCanary, request)

    async def request_declassification(
        self,
        subject: tuple[str, str],
        agent: str,
        labels: Iterable[str],
        reason: str,
        *,
        request_id: str | None = None,
    ) -> approval_pb2.RequestDeclassificationResponse:
        """Ask that labels be removed of what an agent has read for a subject (issuer, id). For operators."""
        request = approval_pb2.RequestDeclassificationRequest(
            request_id=requests_approvals.new_id(request_id),
            subject=types_pb2.Principal(issuer=subject[0], id=subject[1]),
            agent=agent,
            labels=labels,
            reason=reason,
        )
        return await self._ask(self._approvals.RequestDeclassification, request)

    async def request_quarantine_lift(
        self, server: str, tool: str, reason: str, *, request_id: str | None = None
    ) -> approval_pb2.RequestQuarantineLiftResponse:
        """Ask that a tool be lifted out of quarantine. For operators."""
        request = approval_pb2.RequestQuarantineLiftRequest(
            request_id=requests_approvals.new_id(request_id),
            server=server,
            tool=tool,
            reason=reason,
        )
        return await self._ask(self._approvals.RequestQuarantineLift, request)

    async def list_grants(
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
            states=requests_approvals.numbers(approval_pb2.GrantState, states),
            server=server,
            tool=tool,
            page_size=page_size,
            page_token=page_token,
        )
        return await self._ask(self._approvals.ListGrants, request)

    async def revoke_grant(
        self, grant_id: str, reason: str = "", *, request_id: str | None = None
    ) -> approval_pb2.RevokeGrantResponse:
        """End a grant at once."""
        request = approval_pb2.RevokeGrantRequest(
            request_id=requests_approvals.new_id(request_id),
            grant_id=grant_id,
            reason=reason,
        )
        return await self._ask(self._approvals.RevokeGrant, request)

    async def list_mandates(
        self, caller: str = "", session: str = "", *, active: bool = False
    ) -> approval_pb2.ListSessionMandatesResponse:
        """The mandates that the person may see, newest first: of one session, or all."""
        request = approval_pb2.ListSessionMandatesRequest(caller=caller, session=session, active=active)
        return await self._ask(self._approvals.ListSessionMandates, request)

    async def revoke_mandate(
        self, mandate_id: str, *, request_id: str | None = None
    ) -> approval_pb2.RevokeMandateResponse:
        """End a mandate at once."""
        request = approval_pb2.RevokeMandateRequest(
            request_id=requests_approvals.new_id(request_id), mandate_id=mandate_id
        )
        return await self._ask(self._approvals.RevokeMandate, request)

    async def list_consents(
        self, *, states: tuple[str, ...] = (), consent_id: str = "", page_size: int = 0, page_token: str = ""
    ) -> consent_pb2.ListConsentsResponse:
        """A page of the person's own consents and of what asks for them."""
        request = consent_pb2.ListConsentsRequest(
            states=requests_approvals.numbers(consent_pb2.ConsentState, states),
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
        """Agree to an open request (its id), or to terms of one's own."""
        request = requests_approvals.agree(what, presented, expires, requests_approvals.new_id(request_id))
        return await self._ask(self._consents.GrantConsent, request)

    async def revoke_consent(
        self, consent_id: str, *, request_id: str | None = None
    ) -> consent_pb2.RevokeConsentResponse:
        """End a consent at once, or refuse what asks for one."""
        request = consent_pb2.RevokeConsentRequest(
            request_id=requests_approvals.new_id(request_id), consent_id=consent_id
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

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        caller = None if self._token is None else await channel.token_text(self._token)
        return requests_approvals.metadata(caller, self._surface)

    async def _ask(self, send: channel.Send[Answer], request: Any) -> Answer:
        request.credential.bearer = await channel.token_text(self._person_token)
        attempt = 0
        while True:
            attempt += 1
            try:
                return await send(request, timeout=self._timeout, metadata=await self._metadata())
            except grpc.RpcError as error:
                pause = requests_approvals.pause(attempt, error)
                if pause is None:
                    raise requests_approvals.refused(error) from None
            await self._transport.sleep(pause)


async def decided_in_time(
    call: ToolCall,
    decide: Callable[[ToolCall], Awaitable[Decision]],
    wait: Callable[[str, float], Awaitable[Waited]],
    patience: float,
    on_pending: Callable[[Decision], None] = lambda _decision: None,
) -> Decision:
    """The decision once people have answered, or as it is after `patience` seconds or where a wait is refused.

    `decide` and `wait` are the client's, with the credential of the call; `on_pending` is given a pending answer.
    """
    decision = await decide(call)
    if decision.pending is not None:
        on_pending(decision)
    ends = time.monotonic() + patience
    while decision.pending is not None and (left := ends - time.monotonic()) > 0:
        resume = decision.pending.resume_token
        waited = await wait(resume, left)
        if waited.again:
            decision = await decide(replace(call, resume_token=resume))
        elif waited.gone or waited.reasons:
            break
    return decision
