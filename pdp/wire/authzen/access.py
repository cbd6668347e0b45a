"""The requests of AuthZEN, whatever they came by: the same services as `Decide` and `DecideBatch`, in other words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from pdp.core.bytes.digest import Json
from pdp.core.call.methods import OPERATION
from pdp.core.call.request import Ask, Caller
from pdp.core.errors import (
    DeadlineTooShort,
    Fault,
    Forbidden,
    InvalidRequest,
    NotFound,
    Overloaded,
    ShareExceeded,
    Unauthenticated,
    Unavailable,
)
from pdp.core.outcome import Effect
from pdp.core.outcome.answer import Answer, ListAnswer
from pdp.decide.batch import MAX_ITEMS, Answered
from pdp.people.tasks import ApprovalTasks
from pdp.wire.authzen import access_questions as questions
from pdp.wire.authzen import mcp_binding, obligations
from pdp.wire.authzen.access_questions import AccessQuestion, Object
from pdp.wire.authzen.access_tasks import AccessTasks
from pdp.wire.authzen.entity_search import EntitySearch
from pdp.wire.authzen.mcp_binding import McpBinding
from pdp.wire.authzen.options import AuthzenOptions
from pdp.wire.grpc.servicer import Services

# of faults, the code that AuthZEN gives to a request; what is none of these is ours
STATUS: Mapping[type[Fault], int] = {
    InvalidRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    ShareExceeded: 429,
    Overloaded: 503,
    DeadlineTooShort: 503,
    Unavailable: 503,
}
# a call's answer to a body, of an admitted caller, within seconds
Handler = Callable[[Object, Caller, float], Awaitable[Mapping[str, Json]]]
_STOPS: Mapping[str, bool] = {"deny_on_first_deny": False, "permit_on_first_permit": True}


def overdue() -> DeadlineTooShort:
    """The fault of a request that took longer than its budget."""
    return DeadlineTooShort("service.timeout", "The request took too long and was given up.")


def status_of(fault: BaseException) -> int:
    """The HTTP status of a fault."""
    return next((status for kind, status in STATUS.items() if isinstance(fault, kind)), 500)


class AccessRequests:
    """Evaluations for an admitted caller, decided within `seconds`; what each raises is what its service raises."""

    def __init__(self, services: Services, options: AuthzenOptions, index_key: bytes) -> None:
        self.options = options
        self._services = services
        self._search = EntitySearch(services.explain, index_key, options.search_candidates)
        self._mcp = McpBinding(services, options) if options.drafts.mcp else None
        self.tasks: AccessTasks | None = None
        if options.drafts.access_requests and options.url is not None:
            tasks = ApprovalTasks(services.waiting.store, services.waiting.clock)
            self.tasks = AccessTasks(tasks, index_key, options.url)

    async def evaluation(self, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """One decision."""
        asked = questions.question(given)
        if self._mcp is not None and mcp_binding.is_list(asked):
            listed = await self._mcp.listed(asked, caller)
            if listed is not None:
                return self._listed(*listed)
        answer, _ = await self._services.decide(self._ask(asked, caller, seconds), caller)
        return await self._decision(asked, answer, caller)

    async def evaluations(self, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """Several decisions, in order, or the one that is asked above them."""
        several = questions.questions(given, MAX_ITEMS)
        if several is None:
            return await self.evaluation(given, caller, seconds)
        stop = _STOPS.get(several.semantic)
        asks = [self._asked(one, caller, seconds) for one in several.each]
        if stop is None:
            answers = await self._services.batch(asks, caller)
            pairs = zip(several.each, answers, strict=True)
            each: list[Json] = [await self._answered(one, answered, caller) for one, answered in pairs]
            return {"evaluations": each}
        found: list[Json] = []
        for one, ask in zip(several.each, asks, strict=True):
            (answered,) = await self._services.batch((ask,), caller)
            decision = await self._answered(one, answered, caller)
            found.append(decision)
            if decision["decision"] is stop:
                break
        return {"evaluations": found}

    async def search(self, searched: str, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """Who, what or how: see `EntitySearch`."""
        ask = partial(self._ask, seconds=seconds, told=False)
        return await self._search(searched, given, caller, self.options.server_of, ask)

    def _asked(self, one: AccessQuestion | InvalidRequest, caller: Caller, seconds: float) -> Ask | InvalidRequest:
        try:
            return one if isinstance(one, InvalidRequest) else self._ask(one, caller, seconds)
        except InvalidRequest as fault:
            return fault

    def _ask(self, asked: AccessQuestion, caller: Caller, seconds: float, *, told: bool = True) -> Ask:
        """Our own request. `told`: whether its answer has a place for obligations."""
        until_ns, kinds = self._services.admission.until(seconds), self.options.drafts.obligations
        if told and self._mcp is not None and mcp_binding.is_call(asked):
            ask = self._mcp.ask(asked, caller, until_ns)
        else:
            ask = questions.ask(asked, caller, self.options, self._schema(caller), until_ns)
        if not kinds or not told:
            return ask
        return replace(ask, supported_obligations=obligations.supported(asked.context, kinds))

    def _schema(self, caller: Caller) -> Callable[[str, str], Json]:
        registry = self._services.decide.state.snapshot().registry

        def found(server: str, name: str) -> Json:
            pinned = registry.pinned(caller.tenant, server, name, OPERATION)
            return None if pinned is None else dict(pinned.input_schema)

        return found

    async def _answered(
        self, asked: AccessQuestion | InvalidRequest, answered: Answered, caller: Caller
    ) -> dict[str, Json]:
        if isinstance(asked, InvalidRequest):
            return _failed(asked)
        if isinstance(answered, Fault):
            return _failed(answered)
        return await self._decision(asked, answered[0], caller)

    async def _decision(self, asked: AccessQuestion, answer: Answer, caller: Caller) -> dict[str, Json]:
        """Only an allow permits: a pending answer, and one that an operator merely observes, does not. Nor does one
        whose obligations cannot be told."""
        permitted = answer.effect is Effect.ALLOW
        code = answer.reasons[0].code if answer.reasons else answer.effect.value
        told = obligations.shown(answer, self.options.drafts.obligations)
        if permitted and told is None:
            permitted, code = False, obligations.MALFORMED
        context: dict[str, Json] = {}
        if self.options.context:
            context["decision_id"] = answer.decision_id
            if not permitted:
                context["code"] = code
        if permitted and told:
            context["obligations"] = told
        if self.tasks is not None:
            context |= await self.tasks.context(asked, answer, caller)
        return {"decision": permitted, **({"context": context} if context else {})}

    def _listed(self, permitted: bool, answer: ListAnswer) -> dict[str, Json]:
        """A list of MCP: one of which something is hidden is denied whole."""
        if not self.options.context:
            return {"decision": permitted}
        context: dict[str, Json] = {"decision_id": answer.decision_id}
        if not permitted:
            context["code"] = answer.reasons[0].code if answer.reasons else "list.hidden"
        return {"decision": permitted, "context": context}


def _failed(fault: Fault) -> dict[str, Json]:
    """An item that was not decided."""
    return {"decision": False, "context": {"error": {"status": status_of(fault), "message": fault.message}}}
