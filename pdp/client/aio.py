"""The client for asyncio."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from pdp.client import channel
from pdp.client.requests_decide import (
    Answer,
    BatchQuestion,
    CallQuestion,
    ListQuestion,
    Plan,
    Question,
    crowded,
    failed,
    fault,
    too_late,
)
from pdp.client.requests_wait import OutcomeQuestion, WaitQuestion
from pdp.client.values import (
    Credential,
    Decision,
    Listing,
    Outcome,
    Reported,
    Session,
    ToolCall,
    ToolList,
    Waited,
)
from pdp.v1 import decision_pb2_grpc

Token = str | Callable[[], str | Awaitable[str]]


class _Connection:
    """An HTTP/2 connection, and the calls that may be on it at once."""

    def __init__(self, target: str, tls: channel.Tls | None, max_calls: int) -> None:
        self.channel = channel.asynchronous(target, tls)
        self.stub = decision_pb2_grpc.DecisionServiceStub(self.channel)
        self.slots = asyncio.Semaphore(channel.bound(max_calls))

    async def enter(self, seconds: float) -> bool:
        """Take a place for one call, to be released; False when none comes free in time."""
        try:
            async with asyncio.timeout(seconds):
                return await self.slots.acquire()
        except TimeoutError:
            return False


class AsyncClient:
    """As `pdp.client.Client`, for asyncio. Make and use it within one running loop; `token` may be a coroutine
    function. A task that is cancelled while it asks is cancelled."""

    def __init__(
        self,
        target: str,
        *,
        tls: channel.Tls | None = None,
        token: Token | None = None,
        timeout: float = 5.0,
        obligations: Iterable[str] = (),
        max_calls: int = channel.MAX_CALLS,
    ) -> None:
        self._token = token
        self._timeout = timeout
        self._obligations = frozenset(obligations)
        self._calls = _Connection(target, tls, max_calls)
        self._waits = _Connection(target, tls, max_calls)

    async def decide(
        self,
        call: ToolCall,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a deadline that the service is told, not only this task's
    ) -> Decision:
        """As `Client.decide`."""
        question = CallQuestion(_id(request_id), call, credential, session, self._obligations)
        return await self._ask(question, self._calls, self._calls.stub.Decide, timeout)

    async def decide_batch(
        self,
        calls: Sequence[ToolCall],
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_ids: Sequence[str] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> tuple[Decision, ...]:
        """As `Client.decide_batch`."""
        question = BatchQuestion.of(_ids(request_ids, calls), calls, credential, session, self._obligations)
        return await self._ask(question, self._calls, self._calls.stub.DecideBatch, timeout)

    async def filter_tools(
        self,
        listing: Listing,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> ToolList:
        """As `Client.filter_tools`."""
        question = ListQuestion(_id(request_id), listing, credential, session)
        return await self._ask(question, self._calls, self._calls.stub.FilterTools, timeout)

    async def wait(self, resume_token: str, credential: Credential = None, max_wait: float = 50.0) -> Waited:
        """As `Client.wait`."""
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
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> Reported:
        """As `Client.report_outcome`."""
        question = OutcomeQuestion(_id(request_id), decision_id, outcome, redemption_id, finished_at)
        return await self._ask(question, self._calls, self._calls.stub.ReportOutcome, timeout)

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
        on: _Connection,
        send: Callable[..., Awaitable[Any]],
        limit: float | None,
    ) -> Answer:
        try:
            request = question.request()
            plan = Plan(time.monotonic() + (self._timeout if limit is None else limit))
            attempt = 0
            while True:
                attempt += 1
                if not await on.enter(plan.timeout(time.monotonic())):
                    return crowded(question)
                try:
                    metadata = await self._metadata()
                    left = plan.timeout(time.monotonic())
                    if left <= 0:  # gRPC would take it for no deadline at all
                        return too_late(question)
                    response = await send(request, timeout=left, metadata=metadata)
                except grpc.RpcError as error:
                    pause, denial = failed(question, plan, attempt, error, time.monotonic())
                    if pause is None:
                        return denial
                else:
                    return question.read(response, time.time())
                finally:
                    on.slots.release()
                await asyncio.sleep(pause)
        except Exception as error:  # noqa: BLE001 - nothing on this side may become a permission or an exception
            return fault(question, error)

    async def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._token is None:
            return ()
        token = self._token if isinstance(self._token, str) else self._token()
        if not isinstance(token, str):
            token = await token
        return (("authorization", f"Bearer {token}"),)


def _id(request_id: str | None) -> str:
    return str(uuid.uuid4()) if request_id is None else request_id


def _ids(request_ids: Sequence[str] | None, calls: Sequence[ToolCall]) -> tuple[str, ...]:
    return tuple(_id(None) for _ in calls) if request_ids is None else tuple(request_ids)
