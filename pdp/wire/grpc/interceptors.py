"""The interceptors of every call: a request arrives in time or is given up, and every fault leaves through here.

grpc.aio begins the handler of a single request only when its body has arrived, and waits without limit: a client that
opens `max_concurrent` calls and sends nothing would keep everybody out, known or not. The handler of a stream of
requests is begun at once. On the wire the two are the same, so every call is taken for a stream, of which the first
item is read.

grpc.aio also sends the text of an uncaught exception to the peer, turns TimeoutError into UNKNOWN, answers a request
that it cannot parse with the parser's words, and leaves a client without a deadline waiting for ever when a
handler raises CancelledError (grpc issue 29248). None of that gets past this file.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, NoReturn, TypeAlias

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from typing_extensions import override

from pdp.core.errors import DeadlineTooShort, Fault, InvalidRequest, Unavailable
from pdp.core.ports import Entropy
from pdp.host import exceptions
from pdp.wire.grpc.status import FaultStatus, refusal

BODY_SECONDS = 5.0  # for the whole request; 4 MiB at 7 Mbit/s
_LOG = logging.getLogger("pdp.grpc")
_LEVELS = {
    grpc.StatusCode.INTERNAL: logging.ERROR,
    grpc.StatusCode.UNAVAILABLE: logging.WARNING,
    grpc.StatusCode.DEADLINE_EXCEEDED: logging.WARNING,
    grpc.StatusCode.RESOURCE_EXHAUSTED: logging.WARNING,
}

# the loop's time at which the present call is to be answered, so that it is not given up; None: nothing bounds it
_answered_by: ContextVar[float | None] = ContextVar("pdp_answered_by", default=None)

Context = grpc.aio.ServicerContext[Any, Any]
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Parse = Callable[[bytes], Any] | None
_NO_MESSAGE = "is not a message of this call; use the stubs of pdp.v1"
_HEALTH = "/grpc.health.v1.Health/"
_OWN = "/pdp.v1."  # of others' protocols only what is read is vendored
_UNKNOWN = (
    "holds a field that this release does not know, and which might restrict what is asked; update the PDP first"
)
# refuses a request of `method` that could not be read, as the call itself would have: raises
Door: TypeAlias = "Callable[[Context, str, InvalidRequest], Awaitable[NoReturn]]"


def time_left(context: Context) -> float | None:
    """Seconds until the call must be answered: its caller's deadline, or ours. None where nothing bounds it."""
    callers, ours = context.time_remaining(), _answered_by.get()
    bounds = [] if callers is None else [callers]
    if ours is not None:
        bounds.append(max(0.0, ours - asyncio.get_running_loop().time()))
    return min(bounds, default=None)


class Starting(grpc.aio.ServerInterceptor):
    """Answers every call but those of health that the service has yet to start. The outermost interceptor."""

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Leave health as it is; no request of another call is read."""
        if handler_call_details.method.startswith(_HEALTH):
            return await continuation(handler_call_details)
        return _STARTING


class Bodies(grpc.aio.ServerInterceptor):
    """Gives up calls whose request is not there after BODY_SECONDS. The outermost interceptor: within it, requests
    are there."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}  # by method; only known ones, so it stays small

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Take the handler of a single request for one of a stream. What lies within is asked once a method."""
        method = handler_call_details.method
        handler = self._handlers.get(method)
        if handler is None:
            handler = await continuation(handler_call_details)
            if handler is not None:
                handler = self._handlers[method] = self._around(handler)
        return handler

    def _around(self, handler: Any) -> Handler:
        parse, write = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            found: Handler = handler
            return found
        if handler.response_streaming:
            many = handler.unary_stream

            async def watched(_requests: object, context: Context) -> AsyncIterator[Any]:
                async for answer in many(await _arrived(context), context):
                    yield answer

            return grpc.stream_stream_rpc_method_handler(watched, parse, write)
        one = handler.unary_unary

        async def asked(_requests: object, context: Context) -> Any:
            return await one(await _arrived(context), context)

        return grpc.stream_unary_rpc_method_handler(asked, parse, write)


async def _arrived(context: Context) -> Any:
    fault: Fault
    try:
        async with asyncio.timeout(BODY_SECONDS):
            found = await context.read()  # a third of what it costs through the iterator
        if found is not grpc.aio.EOF:
            return found
        fault = InvalidRequest("request", "is missing")
    except TimeoutError:
        fault = DeadlineTooShort("service.body", "The request did not arrive in time; send it at once and whole.")
    raise await _refused(fault, context)


async def _refused(fault: Fault, context: Context) -> Fault:
    said = refusal(fault, "")
    await context.abort(said.status, said.message, said.metadata)
    return fault  # abort has raised


async def _starting(_requests: object, context: Context) -> None:
    raise await _refused(Unavailable("service.starting", "The service has yet to start; try again."), context)


_STARTING: Handler = grpc.stream_unary_rpc_method_handler(_starting)


class Faults(grpc.aio.ServerInterceptor):
    """Maps every fault by `status.TABLE`, and gives up calls that take longer than `max_call_seconds`.

    Streams of answers have no such bound; they end with their caller or with the server. What is no message goes
    to the `door`, where it is refused and recorded.
    """

    def __init__(self, entropy: Entropy, max_call_seconds: float, door: Door) -> None:
        self._entropy = entropy
        self._max_call_seconds = max_call_seconds
        self._margin = min(1.0, max_call_seconds / 10)  # for an answer that was held as long as it may
        self._door = door

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Wrap the handler of a known method; an unknown one is UNIMPLEMENTED by gRPC itself."""
        handler = await continuation(handler_call_details)
        return None if handler is None else self._guard(handler, handler_call_details.method)

    def _guard(self, handler: Any, method: str) -> Handler:
        # a single request is parsed inside the guard, so that what does not parse is a fault like any other
        parse, write = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming and handler.response_streaming:
            stream = self._stream(handler.stream_stream, method, None)
            return grpc.stream_stream_rpc_method_handler(stream, _strict(parse, method), write)
        if handler.response_streaming:
            stream = self._stream(handler.unary_stream, method, parse)
            return grpc.unary_stream_rpc_method_handler(stream, None, write)
        if handler.request_streaming:
            unary = self._unary(handler.stream_unary, method, None)
            return grpc.stream_unary_rpc_method_handler(unary, _strict(parse, method), write)
        unary = self._unary(handler.unary_unary, method, parse)
        return grpc.unary_unary_rpc_method_handler(unary, None, write)

    def _unary(self, inner: Callable[..., Awaitable[Any]], method: str, parse: _Parse) -> Callable[..., Any]:
        async def guarded(request: Any, context: Context) -> Any:
            _answered_by.set(asyncio.get_running_loop().time() + self._max_call_seconds - self._margin)
            left = context.time_remaining()
            sooner = left is not None and left <= self._max_call_seconds  # then gRPC itself ends the call
            limit = asyncio.timeout(None if sooner else self._max_call_seconds)
            try:
                async with limit:
                    return await inner(await self._read(parse, request, method, context), context)
            except BaseException as error:  # noqa: BLE001 - the caller gets a status without the text of the exception
                await self._leave(error, method, context, expired=limit.expired())

        return guarded

    def _stream(self, inner: Callable[..., AsyncIterator[Any]], method: str, parse: _Parse) -> Callable[..., Any]:
        async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
            try:
                async for answer in inner(await self._read(parse, request, method, context), context):
                    yield answer
            except GeneratorExit:
                raise  # the caller no longer reads
            except BaseException as error:  # noqa: BLE001 - as above
                await self._leave(error, method, context, expired=False)

        return guarded

    async def _read(self, parse: _Parse, request: Any, method: str, context: Context) -> Any:
        if parse is None:
            return request
        try:
            message = parse(request)
        except DecodeError:
            await self._door(context, method, InvalidRequest("request", _NO_MESSAGE))
        if method.startswith(_OWN) and _has_unknown(message):
            await self._door(context, method, InvalidRequest("request", _UNKNOWN))
        return message

    async def _leave(self, error: BaseException, method: str, context: Context, *, expired: bool) -> NoReturn:
        """Abort the call. Raises AbortError, or goes on with a cancellation that is the caller's or the server's."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        if expired and isinstance(error, TimeoutError):
            error = DeadlineTooShort("service.timeout", "The call took too long and was given up.")
        said = logged(error, method, self._entropy)
        await context.abort(said.status, said.message, said.metadata)


def _strict(parse: Callable[[bytes], Any], method: str) -> Callable[[bytes], Any]:
    """Strict parsing for the items of a stream, which gRPC parses."""

    def parsed(raw: bytes) -> Any:
        try:
            message = parse(raw)
        except DecodeError:
            raise InvalidRequest("request", _NO_MESSAGE) from None
        if method.startswith(_OWN) and _has_unknown(message):
            raise InvalidRequest("request", _UNKNOWN)
        return message

    return parsed


def _has_unknown(message: Any) -> bool:
    """Whether the message, or one within it, held fields that are not in its definition; it has them no more."""
    size = message.ByteSize()
    message.DiscardUnknownFields()
    return bool(message.ByteSize() != size)


def logged(error: BaseException, method: str, entropy: Entropy) -> FaultStatus:
    """The status of an error that leaves `method`, which the log has with an id from now on. Raises a cancellation
    that is the caller's or the server's: the one is gone or the other stops, so nobody reads an answer."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    fault_id = entropy.bytes(8).hex()
    said = refusal(error, fault_id)
    _log(error, said, method, fault_id)
    return said


def _log(error: BaseException, said: FaultStatus, method: str, fault_id: str) -> None:
    """One line of JSON per fault: no values, no text of foreign exceptions (which may quote values)."""
    status = said.status.name
    event: dict[str, object] = {"event": "rpc.refused", "method": method, "status": status, "code": said.code}
    if isinstance(error, Fault):
        event |= {"fault": error.code} | ({"detail": error.detail} if error.detail else {})
    if said.status is grpc.StatusCode.INTERNAL:
        event |= {"id": fault_id, "exception": exceptions.kinds(error), "trace": exceptions.frames(error)}
    _LOG.log(_LEVELS.get(said.status, logging.INFO), "%s", json.dumps(event), extra={"event": event})
