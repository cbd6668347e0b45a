"""The client for threads."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import grpc

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

Token = str | Callable[[], str]


class _Connection:
    """An HTTP/2 connection, and the calls that may be on it at once."""

    def __init__(self, target: str, tls: channel.Tls | None, max_calls: int) -> None:
        self.channel = channel.threaded(target, tls)
        self.stub = decision_pb2_grpc.DecisionServiceStub(self.channel)
        self.slots = threading.BoundedSemaphore(channel.bound(max_calls))


class Client:
    """Asks a policy decision point; safe to share between threads.

    `target` is `unix:PATH`, `HOST:PORT` or `[IPV6]:PORT`; anything but a Unix socket or a literal loopback address
    needs `tls`, else PlaintextRefusedError. `token` is this caller's own token (or a function that gives it, asked
    for every attempt), sent as `authorization`; it is never the subject's. `timeout` in seconds is for a whole
    question, its one retry included. `obligations` are the kinds that this caller honours.

    Waits have a connection of their own. `max_calls` bounds the calls on each: more wait for their turn within their
    time, then are denied, `client.overloaded`. A server refuses what is beyond its `server.max_streams`.
    """

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

    def decide(
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
        question = CallQuestion(_id(request_id), call, credential, session, self._obligations)
        return self._ask(question, self._calls, self._calls.stub.Decide, timeout)

    def decide_batch(
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
        question = BatchQuestion.of(_ids(request_ids, calls), calls, credential, session, self._obligations)
        return self._ask(question, self._calls, self._calls.stub.DecideBatch, timeout)

    def filter_tools(
        self,
        listing: Listing,
        credential: Credential = None,
        *,
        session: Session | None = None,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> ToolList:
        """Which tools may the subject see? Never raises; a list that could not be decided is empty."""
        question = ListQuestion(_id(request_id), listing, credential, session)
        return self._ask(question, self._calls, self._calls.stub.FilterTools, timeout)

    def wait(self, resume_token: str, credential: Credential = None, max_wait: float = 50.0) -> Waited:
        """Wait until it is worth asking a pending call again, `max_wait` seconds at most (the service allows 50).

        `credential` is that of the call. Never raises, and permits nothing: ask with `decide` for the answer.
        """
        question = WaitQuestion(resume_token, credential, max_wait)
        patience = question.patience(self._timeout)
        return self._ask(question, self._waits, self._waits.stub.WaitDecision, patience)

    def report_outcome(
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
        question = OutcomeQuestion(_id(request_id), decision_id, outcome, redemption_id, finished_at)
        return self._ask(question, self._calls, self._calls.stub.ReportOutcome, timeout)

    def close(self) -> None:
        """Close the connections; questions after that are denied."""
        self._calls.channel.close()
        self._waits.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self, question: Question[Answer], on: _Connection, send: Callable[..., Any], timeout: float | None
    ) -> Answer:
        try:
            request = question.request()
            plan = Plan(time.monotonic() + (self._timeout if timeout is None else timeout))
            attempt = 0
            while True:
                attempt += 1
                if not on.slots.acquire(timeout=plan.timeout(time.monotonic())):
                    return crowded(question)
                try:
                    left = plan.timeout(time.monotonic())
                    if left <= 0:  # gRPC would take it for no deadline at all
                        return too_late(question)
                    response = send(request, timeout=left, metadata=self._metadata())
                except grpc.RpcError as error:
                    pause, denial = failed(question, plan, attempt, error, time.monotonic())
                    if pause is None:
                        return denial
                else:
                    return question.read(response, time.time())
                finally:
                    on.slots.release()
                time.sleep(pause)
        except Exception as error:  # noqa: BLE001 - nothing on this side may become a permission or an exception
            return fault(question, error)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        if self._token is None:
            return ()
        token = self._token if isinstance(self._token, str) else self._token()
        return (("authorization", f"Bearer {token}"),)


def _id(request_id: str | None) -> str:
    return str(uuid.uuid4()) if request_id is None else request_id


def _ids(request_ids: Sequence[str] | None, calls: Sequence[ToolCall]) -> tuple[str, ...]:
    return tuple(_id(None) for _ in calls) if request_ids is None else tuple(request_ids)
