"""What gateways ask by their own calls, asked as `Decide` and `FilterTools`: the same codec and services, and answers
read as strictly as our own client reads them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from pdp.adapters.gateways.options import GatewayOptions
from pdp.adapters.grpc.codec import decisions
from pdp.adapters.grpc.interceptors import Context, logged, time_left
from pdp.adapters.grpc.servicer import RpcAdmission, Services
from pdp.adapters.mcp.answers import CallParameters, NotACallError
from pdp.adapters.mcp.tool_search import ToolSearch
from pdp.client import responses
from pdp.client.values import Decision, ToolList
from pdp.core.check import NS
from pdp.core.digest import Json, canonical
from pdp.core.errors import InvalidRequest
from pdp.core.request import Caller, Role
from pdp.ports import Clock, Entropy
from pdp.v1 import decision_pb2, types_pb2

_NOTHING: frozenset[str] = frozenset()  # a gateway honours no obligation by these calls
_MARGIN = 0.2  # of a gateway's deadline, in which the answer travels
_MOST_MARGIN = 0.5  # seconds
_BEARER = "bearer "
_SEARCH = ToolSearch()


@dataclass(frozen=True, slots=True)
class Asked:
    """What belongs to a call or a list besides its target."""

    server: str
    credential: types_pb2.Credential
    version: str = ""
    capabilities: Mapping[str, Json] | None = None
    meta: Mapping[str, Json] = field(default_factory=dict)
    client_address: str = ""


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
        """The code of a fault of ours, which the log has from now on. A cancellation that is the gateway's or the
        server's goes on: nobody reads the answer."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
        return logged(error, method, self._entropy).code

    async def call(
        self, asked: Asked, name: str, arguments: Mapping[str, Json], caller: Caller, seconds: float
    ) -> Decision:
        """The decision about one call of a tool, ready within `seconds`; where it means a call of another tool, about
        that one first. Raises what `Decide` raises."""
        try:
            meant = _SEARCH.meant(CallParameters(name, arguments, {}))
        except NotACallError as error:
            raise InvalidRequest("arguments", str(error)) from None
        if meant is not None:
            inner = await self._decided(replace(asked, meta={}), meant.name, meant.arguments, caller, seconds)
            if not inner.allowed:
                return inner
        return await self._decided(asked, name, arguments, caller, seconds)

    async def _decided(
        self, asked: Asked, name: str, arguments: Mapping[str, Json], caller: Caller, seconds: float
    ) -> Decision:
        request = decision_pb2.DecideRequest(
            request_id=self.new_id(),
            method="tools/call",
            target=types_pb2.Target(
                tool=types_pb2.ToolTarget(server=asked.server, name=name, arguments_json=canonical(arguments))
            ),
            credential=asked.credential,
            protocol_version=asked.version,
            client_capabilities_json=canonical(asked.capabilities) if asked.capabilities is not None else b"",
            context=_context(asked),
        )
        ask = decisions.ask(request, self._services.admission.until(seconds))
        answer, record = await self._services.decide(ask, caller)
        return responses.decision(decisions.response(answer, record), request.request_id, _NOTHING, self.now())

    async def tools(self, asked: Asked, definitions: Sequence[Mapping[str, Json]] | None, caller: Caller) -> ToolList:
        """The tools that the subject may see, of those that the server listed, or without `definitions` of the pinned
        ones. Raises what `FilterTools` raises."""
        presented = await asyncio.to_thread(lambda: [canonical(definition) for definition in definitions or ()])
        request = decision_pb2.FilterToolsRequest(
            request_id=self.new_id(),
            server=asked.server,
            definitions_json=presented,
            presented_only=definitions is not None,
            credential=asked.credential,
            protocol_version=asked.version,
            context=_context(asked),
        )
        answer, record = await self._services.filter(decisions.list_ask(request), caller)
        return responses.tool_list(decisions.filter_response(answer, record), request.request_id, self.now())

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


def _context(asked: Asked) -> types_pb2.Context:
    try:
        address = str(ip_address(asked.client_address))
    except ValueError:
        address = ""  # a Unix socket, or what a gateway makes up
    return types_pb2.Context(client_address=address, meta_json=canonical(asked.meta) if asked.meta else b"")


def claimed(issuer: str, subject: str, claims: Mapping[str, Json]) -> types_pb2.Credential:
    """A subject on the gateway's word, which counts where `may_assert.claims` has the issuer."""
    stated = types_pb2.AssertedClaims(issuer=issuer, subject=subject, claims_json=canonical(claims))
    return types_pb2.Credential(claims=stated)


def credential(authorization: str) -> types_pb2.Credential:
    """The subject's credential from a header `authorization`; nothing, which is denied, for another scheme."""
    if authorization[: len(_BEARER)].lower() != _BEARER:
        return types_pb2.Credential()
    return types_pb2.Credential(bearer=authorization[len(_BEARER) :].strip(" "))
