"""Requests are waited for by us, and not for ever.

grpc.aio begins the handler of a single request only when that has arrived, and waits for it without end: whoever
opens `max_concurrent` calls and sends nothing would keep everybody out, known or not. The handler of a stream of
requests is begun at once. On the wire the two are the same, so every call is taken for a stream, of which the first
item is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from typing_extensions import override

from pdp.adapters.grpc.interceptors import METADATA_KEY, Handler
from pdp.adapters.grpc.peer import Context
from pdp.adapters.grpc.status import refusal
from pdp.core.errors import DeadlineTooShort, Fault, InvalidRequest

BODY_SECONDS = 5.0  # for the whole request; 4 MiB at 7 Mbit/s


class Bodies(grpc.aio.ServerInterceptor):
    """Gives up calls whose request is not there after BODY_SECONDS. The outermost interceptor: within it, requests
    are there."""

    def __init__(self) -> None:
        self._reading: dict[str, Handler] = {}  # by method; only known ones, so it stays small

    @override
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Take the handler of a single request for one of a stream."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        reading = self._reading.get(method)
        if reading is None:
            reading = self._reading[method] = self._around(handler)
        return reading

    def _around(self, handler: Any) -> Handler:
        parse, write = handler.request_deserializer, handler.response_serializer
        if handler.request_streaming:
            found: Handler = handler
            return found
        if handler.response_streaming:
            many = handler.unary_stream

            async def watched(_requests: object, context: Context) -> AsyncIterator[Any]:
                async for answer in many(await _read(context), context):
                    yield answer

            return grpc.stream_stream_rpc_method_handler(watched, parse, write)
        one = handler.unary_unary

        async def asked(_requests: object, context: Context) -> Any:
            return await one(await _read(context), context)

        return grpc.stream_unary_rpc_method_handler(asked, parse, write)


async def _read(context: Context) -> Any:
    fault: Fault
    try:
        async with asyncio.timeout(BODY_SECONDS):
            found = await context.read()  # a third of what it costs through the iterator
        if found is not grpc.aio.EOF:
            return found
        fault = InvalidRequest("request", "is missing")
    except TimeoutError:
        fault = DeadlineTooShort("service.body", "The request did not arrive in time; send it at once and whole.")
    said = refusal(fault, "")
    await context.abort(said.status, said.message, ((METADATA_KEY, said.code),))
    raise fault  # abort has raised
