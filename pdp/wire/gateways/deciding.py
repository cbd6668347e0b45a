"""What gateways ask by their own calls, asked as `Decide` and `FilterTools`: the same codec and services, and answers
read as strictly as our own client reads them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from ipaddress import ip_address

from pdp.client.mcp.answers import CallParameters, NotACallError
from pdp.client.mcp.tool_search import ToolSearch
from pdp.client.requests_decide import CallQuestion, ListQuestion
from pdp.client.results import ResultQuestion
from pdp.client.values import Claims, Credential, Decision, Inspected, Listing, ToolCall, ToolList
from pdp.core.bytes.digest import Json, canonical
from pdp.core.call.methods import TOOL_LIST
from pdp.core.call.request import Caller, Role
from pdp.core.check import NS
from pdp.core.errors import InvalidRequest
from pdp.core.ports import Clock, Entropy
from pdp.v1 import decision_pb2
from pdp.wire.gateways.options import GatewayOptions
from pdp.wire.grpc.codec import decisions, results
from pdp.wire.grpc.interceptors import Context, logged, time_left
from pdp.wire.grpc.servicer import RpcAdmission, Services

_NOTHING: frozenset[str] = frozenset()  # a gateway honours no obligation by these calls
_MARGIN = 0.2  # of a gateway's deadline, in which the answer travels
_MOST_MARGIN = 0.5  # seconds
_BEARER = "bearer "
_SEARCH = ToolSearch()


@dataclass(frozen=True, slots=True)
class GatewayCall:
    """What belongs to a call or a list besides its target."""

    server: str
    credential: Credential
    version: str = ""
    capabilities: Mapping[str, Json] | None = None
    client_address: str = ""
    observe: bool = False  # the gateway carries out what policy does not bind, in a pilot


class Deciding:
    """Asks the services on behalf of a gateway."""

    def __init__(self, services: Services, options: GatewayOptions, clock: Clock, entropy: Entropy) -> None:
        self.options = options
        self._services = services
        self._admission = RpcAdmission(services.admission)
        self._clock = clock
        self._entropy = entropy

    def budget(self, context: Context) -> float:
        """Seconds within which the answer must be ready: ours, and some less than the gateway's."""
        ours, left = self.options.budget_ms / 1000, time_left(context)
        return ours if left is None else min(ours, left - min(_MOST_MARGIN, left * _MARGIN))

    def admit(self, context: Context, rpc: str) -> AbstractAsyncContextManager[Caller]:
        """The gateway, if it may ask. Raises what the admission raises."""
        return self._admission.admit(context, Role.DECIDE, rpc)

    def fault(self, error: Exception | asyncio.CancelledError, method: str) -> str:
        """The code of a fault of ours, which the log has from now on. Raises what `logged` raises."""
        return logged(error, method, self._entropy).code

    async def calls(
        self, asked: GatewayCall, calls: Sequence[CallParameters], caller: Caller, seconds: float
    ) -> Decision | None:
        """The decision about requests that pass together or not at all, ready within `seconds`: the last one, or the
        first that is no allow. Where a call of a tool means another tool, about that one first. Of a listener that
        wants to hear of lists alone the subject may list, or it is denied; None if it may. Raises what `Decide` and
        `FilterTools` raise."""
        decision: Decision | None = None
        if not calls:
            found = await self.listed(asked, TOOL_LIST, (), caller)
            if not found.allowed:
                return Decision(False, "deny", found.decision_id, found.reasons, found.safe_message)
        for call in calls:
            try:
                meant = _SEARCH.meant(call) if call.kind == "tool" else None
            except NotACallError as error:
                raise InvalidRequest("arguments", str(error)) from None
            for each in (call,) if meant is None else (meant, call):
                decision = await self._decided(asked, each, caller, seconds)
                if not decision.allowed:
                    return decision
        return decision

    async def _decided(self, asked: GatewayCall, call: CallParameters, caller: Caller, seconds: float) -> Decision:
        question = CallQuestion(
            self.new_id(),
            ToolCall(
                asked.server,
                call.name,
                canonical(call.stated) if call.stated is not None else None,
                client_address=_address(asked.client_address),
                protocol_version=asked.version,
                client_capabilities=canonical(asked.capabilities) if asked.capabilities is not None else None,
                meta=canonical(call.meta) if call.meta else None,
                kind=call.kind,
                method=call.method,
            ),
            asked.credential,
            None,
            _NOTHING,
            observe=asked.observe,
        )
        return await self._services.decided(question, caller, seconds, self._clock)

    async def listed(
        self, asked: GatewayCall, method: str, definitions: Sequence[Mapping[str, Json]] | None, caller: Caller
    ) -> ToolList:
        """What the subject may see of what `method` lists: of what the server listed, or without `definitions` of
        what is pinned. Raises what `FilterTools` raises."""
        presented: list[bytes] | None = None
        if definitions is not None:
            presented = await asyncio.to_thread(lambda: [canonical(definition) for definition in definitions])
        listing = Listing(asked.server, presented, asked.version, method=method)
        question = ListQuestion(self.new_id(), listing, asked.credential, None, asked.observe)
        answer, record = await self._services.filter(decisions.list_ask(question.request()), caller)
        return question.read(decisions.filter_response(answer, record), self.now())

    @property
    def max_result_bytes(self) -> int:
        """Of a result that is inspected."""
        return self._services.inspect.max_bytes

    async def inspected(
        self, asked: GatewayCall, method: str, decision_id: str, result: Mapping[str, Json], caller: Caller
    ) -> Inspected:
        """What may be shown of the result of a call that was allowed, and that `method` of this server answered.
        Raises what `InspectResult` raises."""
        question = ResultQuestion(self.new_id(), decision_id, "", result, asked.credential, None)
        messages = await asyncio.to_thread(question.request)
        inspect = self._services.inspect
        with inspect.held.one() as more:
            ask = await results.result_ask(_streamed(messages), inspect.max_bytes, more)
            answer, record = await inspect(replace(ask, of=(asked.server, method)), caller)
        return question.read(results.result_response(answer, record), self.now())

    def input_schema(self, server: str, name: str, caller: Caller) -> Json:
        """The pinned schema of a tool's arguments; None for an unknown tool."""
        pinned = self._services.filter.state.snapshot().registry.pinned(caller.tenant, server, name)
        return None if pinned is None else pinned.definition.get("inputSchema")

    def new_id(self) -> str:
        """The id of one attempt. A gateway that repeats its call asks anew, and finds what is open for it."""
        return str(uuid.UUID(bytes=self._entropy.bytes(16), version=4))

    def now(self) -> float:
        """Unix seconds of the service's clock."""
        return self._clock.now_ns() / NS


async def _streamed(
    messages: Sequence[decision_pb2.InspectResultRequest],
) -> AsyncIterator[decision_pb2.InspectResultRequest]:
    for message in messages:
        yield message


def _address(stated: str) -> str:
    try:
        return str(ip_address(stated))
    except ValueError:
        return ""  # a Unix socket, or what a gateway makes up


def claimed(issuer: str, subject: str, claims: Mapping[str, Json]) -> Credential:
    """A subject on the gateway's word, which counts where `may_assert.claims` has the issuer."""
    return Claims(issuer, subject, canonical(claims))


def credential(authorization: str) -> Credential:
    """The subject's credential from a header `authorization`; nothing, which is denied, for another scheme."""
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return None
    return authorization[len(_BEARER) :].strip(" ")
