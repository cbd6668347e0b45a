"""The interceptor around all others: one span, one duration and, for an error, one refusal per RPC.

It stands outside the fault interceptor and so sees exactly what leaves. It reads ids, codes and effects of answers,
and of a request nothing but the trace context.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from typing_extensions import override

from pdp.core.bytes import trace_context
from pdp.core.bytes.trace_context import TraceParent
from pdp.core.outcome import Effect
from pdp.core.ports.telemetry import Span, Telemetry
from pdp.v1 import decision_pb2
from pdp.wire.grpc.codec.enums import EFFECTS
from pdp.wire.grpc.interceptors import Context
from pdp.wire.grpc.status import METADATA_KEY

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_OURS = "/pdp.v1."
_STATUS = "rpc.response.status_code"
_CODES = {status.value[0]: status.name for status in grpc.StatusCode}
# by the conventions, only these are errors of the server
_FAILURES = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
_CANCELLED = "CANCELLED"
_WITH_CONTEXT: dict[str, Any] = {
    "/pdp.v1.DecisionService/Decide": decision_pb2.DecideRequest,
    "/pdp.v1.DecisionService/FilterTools": decision_pb2.FilterToolsRequest,
}
_Answered = decision_pb2.DecideResponse | decision_pb2.FilterToolsResponse


class Traces(grpc.aio.ServerInterceptor):
    """Traces the calls of `pdp.v1` with one answer; health, reflection and streams of answers are left alone."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler: Any = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or handler.response_streaming or not method.startswith(_OURS):
            return handler  # type: ignore[no-any-return] # the stubs of grpcio have no fields for handlers
        return self._around(handler, method)

    def _around(self, handler: Any, method: str) -> Handler:
        parse, write = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._tracing(handler.stream_unary, method), parse, write)
        return grpc.unary_unary_rpc_method_handler(self._tracing(handler.unary_unary, method), parse, write)

    def _tracing(self, inner: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Any]:
        name = method.removeprefix("/")

        async def traced(request: bytes | AsyncIterator[Any], context: Context) -> Any:
            with self._telemetry.call(name, _parent(request, method, context)) as span:
                try:
                    answer = await inner(request, context)
                except BaseException:
                    self._refused(span, name, context)
                    raise
                span.set(_STATUS, "OK")
                if isinstance(answer, _Answered):
                    _describe(span, answer)
                return answer

        return traced

    def _refused(self, span: Span, method: str, context: Context) -> None:
        status = _CODES.get(_left(context), _CANCELLED)  # nothing was said: the caller, or the server, is gone
        code = next((str(v) for k, v in context.trailing_metadata() or () if k == METADATA_KEY), status.lower())
        span.set(_STATUS, status)
        span.set("pdp.code", code)
        if status in _FAILURES:
            span.fail(code)
        self._telemetry.count("pdp.refusals", {"rpc.method": method, _STATUS: status, "pdp.code": code})


def _left(context: Context) -> int:
    """The number of the status that was sent; that of OK when none was."""
    said: Any = context.code()
    number = said.value[0] if isinstance(said, grpc.StatusCode) else said
    return number if isinstance(number, int) and number else -1


def _parent(request: object, method: str, context: Context) -> TraceParent | None:
    """The caller's span: of the RPC's metadata, or else of the MCP request's `_meta`."""
    said = [value for key, value in context.invocation_metadata() or () if key == trace_context.KEY]
    if said:
        return trace_context.parse(said[0]) if len(said) == 1 else None
    message = _WITH_CONTEXT.get(method)
    if message is None or not isinstance(request, bytes):
        return None
    try:
        parsed = message.FromString(request)
    except DecodeError:
        return None  # the fault interceptor says so
    return trace_context.from_meta(parsed.context.meta_json)


def _describe(span: Span, answer: _Answered) -> None:
    span.set("pdp.decision.id", answer.decision_id)
    span.set("pdp.effect", EFFECTS.words.get(answer.effect, Effect.DENY).value)
    span.set("pdp.code", answer.reasons[0].code if answer.reasons else "none")
    if answer.policy.digest:
        span.set("pdp.policy.digest", answer.policy.digest)
        span.set("pdp.engine", answer.policy.engine)
