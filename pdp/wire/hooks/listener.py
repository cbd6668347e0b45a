"""The listener of hooks over HTTP. What is not plainly an allow is answered as a block, in time."""

from __future__ import annotations

import asyncio
import logging
import ssl
import uuid
from collections.abc import Callable, Mapping

from typing_extensions import override

from pdp.client.requests_decide import CallQuestion, NotARequestError
from pdp.client.values import Session, ToolCall
from pdp.core.bytes.digest import canonical
from pdp.core.call.request import Caller, Peer, Role
from pdp.core.errors import Fault, Forbidden, InvalidRequest, Unauthenticated
from pdp.core.ports import Clock, Entropy
from pdp.host.http_listener import HttpCall, HttpListener, HttpReply
from pdp.wire.grpc.interceptors import logged
from pdp.wire.grpc.servicer import Services
from pdp.wire.hooks.agents import NOT_DECIDED, NotAnEventError
from pdp.wire.hooks.options import HookOptions
from pdp.wire.hooks.webhooks import (
    DENIED,
    LATE,
    MALFORMED,
    PENDING,
    REFUSED,
    UNANSWERED,
    ClaudeCode,
    CopilotStudio,
    HookAnswer,
    HookQuestion,
    Webhook,
    correlation,
    is_version,
    validated,
)

log = logging.getLogger("pdp.hooks")

_VALIDATE = "/copilot-studio/validate"
_NOTHING: frozenset[str] = frozenset()  # a hook honours no obligation
_VALIDATE_SECONDS = 5.0
_CONNECTIONS = 128  # one too many gets no answer about its call


class HookListener(HttpListener):
    """The listener. `answers` says whether the process could decide."""

    def __init__(
        self,
        options: HookOptions,
        tls: ssl.SSLContext | None,
        services: Services,
        clock: Clock,
        entropy: Entropy,
        answers: Callable[[], bool],
    ) -> None:
        super().__init__(
            options.listen,
            "hooks.listen",
            max_body=options.max_body_bytes,
            tls=tls,
            said="hooks",
            connections=_CONNECTIONS,
        )
        self._transport = "tls" if tls is not None or options.behind_proxy else "loopback"
        self._services = services
        self._clock = clock
        self._entropy = entropy
        self._answers = answers
        self._hooks = _hooks(options)
        self._late: set[asyncio.Task[HookAnswer]] = set()  # given up, and not yet at their end

    @override
    async def answer(self, call: HttpCall) -> HttpReply:
        path = call.target.partition("?")[0]
        hook = self._hooks.get(path)
        validates = path == _VALIDATE and any(isinstance(each, CopilotStudio) for each in self._hooks.values())
        if hook is None and not validates:
            return HttpReply(404)
        if call.method != "POST":
            return HttpReply(405, more=(("Allow", "POST"),))
        if hook is None:
            return await self._validated(call)
        return self._reply(hook, await self._in_time(hook, call))

    def _reply(self, hook: Webhook, verdict: HookAnswer) -> HttpReply:
        """The answer, counted."""
        self._services.telemetry.count("pdp.hooks", {"pdp.hook": hook.rpc, "pdp.outcome": verdict.outcome})
        return hook.reply(verdict)

    @override
    def too_large(self, call: HttpCall) -> HttpReply:
        hook = self._hooks.get(call.target.partition("?")[0])
        text = "The call is too large to be decided, so it is blocked."
        return super().too_large(call) if hook is None else self._reply(hook, HookAnswer(False, text, MALFORMED))

    async def _in_time(self, hook: Webhook, request: HttpCall) -> HookAnswer:
        """The verdict, or LATE when it is time, whatever the decision still waits for."""
        task = asyncio.create_task(self._closed(hook, request))
        try:
            await asyncio.wait((task,), timeout=hook.seconds)
            return task.result() if task.done() and not task.cancelled() else LATE
        finally:
            if not task.done():
                self._late.add(task)
                task.add_done_callback(self._late.discard)
                task.cancel()

    async def _closed(self, hook: Webhook, request: HttpCall) -> HookAnswer:
        try:
            return await self._decided(hook, request)
        except (NotAnEventError, NotARequestError) as error:
            return HookAnswer(False, f"{error}. The call is blocked.", MALFORMED)
        except InvalidRequest as fault:
            return HookAnswer(False, f"{fault.message} The call is blocked.", MALFORMED)
        except (Unauthenticated, Forbidden) as refused:
            logged(refused, hook.rpc, self._entropy)
            return REFUSED
        except Exception as error:  # noqa: BLE001 - an error could be taken for permission
            logged(error, hook.rpc, self._entropy)
            return UNANSWERED

    async def _decided(self, hook: Webhook, request: HttpCall) -> HookAnswer:
        async with self._services.admission.admit(self._peer(request), Role.DECIDE, hook.rpc, hook.seconds) as caller:
            try:
                asked = hook.asked(request, caller)
            except NotAnEventError as error:
                raise InvalidRequest("the event", str(error)) from None  # which leaves a record
            return await self._asked(asked, caller, hook, correlation(request))

    async def _asked(self, asked: HookQuestion, caller: Caller, hook: Webhook, traced: str) -> HookAnswer:
        call = asked.call
        question = CallQuestion(
            str(uuid.UUID(bytes=self._entropy.bytes(16), version=4)),
            ToolCall(asked.server, call.tool, canonical(call.arguments), asked.definition),
            asked.credential,
            Session(call.session),
            _NOTHING,
        )
        decision = await self._services.decided(question, caller, hook.seconds, self._clock)
        log.info("%s: %s %s %s %s", hook.rpc, decision.effect, decision.code, decision.decision_id, traced)
        if decision.allowed and not decision.obligations:
            return HookAnswer(True)
        reason = PENDING if decision.pending is not None else DENIED
        return HookAnswer(False, decision.safe_message or NOT_DECIDED, reason, decision.decision_id)

    async def _validated(self, request: HttpCall) -> HttpReply:
        """What an administrator's set-up is told: here an error is one."""
        if not is_version(request):
            return validated(400, "The api-version is not one that is read here.")
        try:
            async with (
                asyncio.timeout(_VALIDATE_SECONDS),
                self._services.admission.admit(self._peer(request), Role.DECIDE, "CopilotStudioValidate", None),
            ):
                ready = self._answers()
        except Unauthenticated:
            return validated(401, "The token is not one of a caller that is configured.")
        except Forbidden:
            return validated(403, "The caller may not ask for decisions.")
        except (Fault, TimeoutError) as error:
            logged(error, "CopilotStudioValidate", self._entropy)
            ready = False
        return validated(200) if ready else validated(503, "No decision can be made now.")

    def _peer(self, request: HttpCall) -> Peer:
        return Peer(self._transport, (), request.headers.get("authorization", ""))


def _hooks(options: HookOptions) -> Mapping[str, Webhook]:
    """By path."""
    found: dict[str, Webhook] = {}
    if options.claude_code is not None:
        seconds = options.claude_code.budget_ms / 1000
        found["/claude-code"] = ClaudeCode(options.claude_code, options.principals_issuer, seconds)
    if options.copilot_studio is not None:
        seconds, max_bytes = options.copilot_studio.budget_ms / 1000, options.max_body_bytes
        studio = CopilotStudio(options.copilot_studio, options.principals_issuer, seconds, max_bytes)
        found["/copilot-studio/analyze-tool-execution"] = studio
    return found
