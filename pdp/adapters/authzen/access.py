"""The requests of AuthZEN, whatever they came by: the same services as `Decide` and `DecideBatch`, in other words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from pdp.adapters.authzen import access_questions as questions
from pdp.adapters.authzen.access_questions import AccessQuestion, Object
from pdp.adapters.authzen.entity_search import EntitySearch
from pdp.adapters.authzen.options import AuthzenOptions
from pdp.adapters.grpc.servicer import Services
from pdp.core.answer import Answer
from pdp.core.digest import Json
from pdp.core.errors import (
    DeadlineTooShort,
    Fault,
    Forbidden,
    InvalidRequest,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from pdp.core.methods import OPERATION
from pdp.core.outcome import Effect
from pdp.core.request import Ask, Caller
from pdp.service.batch import MAX_ITEMS, Answered

# of faults, the code that AuthZEN gives to a request; what is none of these is ours
STATUS: Mapping[type[Fault], int] = {
    InvalidRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
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

    async def evaluation(self, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """One decision."""
        asked = questions.question(given)
        answer, _ = await self._services.decide(self._ask(asked, caller, seconds), caller)
        return self._decision(answer)

    async def evaluations(self, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """Several decisions, in order, or the one that is asked above them."""
        several = questions.questions(given, MAX_ITEMS)
        if several is None:
            return await self.evaluation(given, caller, seconds)
        asks = [one if isinstance(one, InvalidRequest) else self._ask(one, caller, seconds) for one in several.each]
        stop = _STOPS.get(several.semantic)
        if stop is None:
            found: list[Json] = [self._answered(each) for each in await self._services.batch(asks, caller)]
            return {"evaluations": found}
        found = []
        for one in asks:
            try:
                (answered,) = await self._services.batch((one,), caller)
            except (Unavailable, Overloaded) as fault:
                if not found:
                    raise
                answered = fault
            decision = self._answered(answered)
            found.append(decision)
            if decision["decision"] is stop:
                break
        return {"evaluations": found}

    async def search(self, searched: str, given: Object, caller: Caller, seconds: float) -> dict[str, Json]:
        """Who, what or how: see `EntitySearch`."""
        ask = partial(self._ask, seconds=seconds)
        return await self._search(searched, given, caller, self.options.server_of, ask)

    def _ask(self, asked: AccessQuestion, caller: Caller, seconds: float) -> Ask:
        until_ns = self._services.admission.until(seconds)
        return questions.ask(asked, caller, self.options, self._schema(caller), until_ns)

    def _schema(self, caller: Caller) -> Callable[[str, str], Json]:
        registry = self._services.decide.state.snapshot().registry

        def found(server: str, name: str) -> Json:
            pinned = registry.pinned(caller.tenant, server, name, OPERATION)
            return None if pinned is None else dict(pinned.input_schema)

        return found

    def _answered(self, answered: Answered) -> dict[str, Json]:
        if not isinstance(answered, Fault):
            return self._decision(answered[0])
        return {
            "decision": False,
            "context": {"error": {"status": status_of(answered), "message": answered.message}},
        }

    def _decision(self, answer: Answer) -> dict[str, Json]:
        """Only an allow permits: a pending answer, and one that an operator merely observes, does not."""
        permitted = answer.effect is Effect.ALLOW
        if not self.options.context:
            return {"decision": permitted}
        context: dict[str, Json] = {"decision_id": answer.decision_id}
        if not permitted:
            context["code"] = answer.reasons[0].code if answer.reasons else answer.effect.value
        return {"decision": permitted, "context": context}
