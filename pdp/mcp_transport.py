"""Transports to an MCP server of which an answer is bounded: the SDK's own read one of any length into memory."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx2
import mcp_types
from anyio.abc import ByteReceiveStream, ByteSendStream
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.client.stdio import _create_platform_compatible_process, _stop_server_process, get_default_environment
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage
from typing_extensions import override

logger = logging.getLogger(__name__)

MAX_ANSWER = 16 * 1024 * 1024  # bytes
_Incoming = SessionMessage | Exception


@asynccontextmanager
async def to_command(
    command: list[str],
    env: Mapping[str, str],
    folder: str | Path | None,
    *,
    max_bytes: int = MAX_ANSWER,
    in_all: bool = False,
) -> AsyncGenerator[TransportStreams]:
    """The server that a command starts, in a process group of its own, which ends with this. It inherits a few
    harmless variables, and `env`. `max_bytes` are of each message, `in_all` of all together; more of them end the
    connection, so that nothing waits for an answer. What it says on standard error is not ours to print. Raises
    OSError where it cannot be started."""
    with Path(os.devnull).open("w", encoding="utf-8") as quiet:  # noqa: ASYNC230 - the null device
        given = get_default_environment() | dict(env)
        process = await _create_platform_compatible_process(command[0], command[1:], given, quiet, folder)
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes to the server")
    send, incoming = anyio.create_memory_object_stream[_Incoming](0)
    outgoing, receive = anyio.create_memory_object_stream[SessionMessage](0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_read, process.stdout, send, max_bytes, in_all)
        tasks.start_soon(_write, process.stdin, receive, send)
        try:
            yield incoming, outgoing
        finally:
            with anyio.CancelScope(shield=True):
                outgoing.close()
                incoming.close()
                await _stop_server_process(process)  # and all that it started
            tasks.cancel_scope.cancel()


async def _read(
    stdout: ByteReceiveStream, send: MemoryObjectSendStream[_Incoming], max_bytes: int, in_all: bool
) -> None:
    line, before = bytearray(), 0
    with send, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        async for chunk in stdout:
            *ended, rest = chunk.split(b"\n")
            for part in ended:
                line += part
                before += len(line) if in_all else 0
                await send.send(_message(bytes(line)))
                line.clear()
            line += rest
            if before + len(line) > max_bytes:
                logger.error("an MCP server sent more than %d bytes; its connection is ended", max_bytes)
                return


def _message(line: bytes) -> _Incoming:
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as error:
        return error


async def _write(
    stdin: ByteSendStream, receive: MemoryObjectReceiveStream[SessionMessage], send: MemoryObjectSendStream[_Incoming]
) -> None:
    try:
        async with receive:
            async for message in receive:
                text = message.message.model_dump_json(by_alias=True, exclude_unset=True)
                await stdin.send(text.encode() + b"\n")
    except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        send.close()  # nobody waits for the answer to what could not be sent


@asynccontextmanager
async def to_url(
    url: str,
    *,
    max_bytes: int = MAX_ANSWER,
    in_all: bool = False,
    bearer: str | None = None,
    told: Callable[[int], None] = lambda _status: None,
) -> AsyncGenerator[TransportStreams]:
    """The server at a streamable HTTP endpoint; no redirect to another host is followed. `max_bytes` are of each
    answer, of a stream of each message; `in_all` of all together. A longer one fails. `told` is given the status of
    each answer to a message, which the SDK keeps to itself."""
    bound = _Bound(max_bytes, in_all=in_all)

    async def status(response: httpx2.Response) -> None:
        if response.request.method == "POST":  # not the stream for what the server says unasked
            told(response.status_code)

    headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {bearer}"} if bearer is not None else {})
    async with (
        httpx2.AsyncClient(headers=headers, timeout=None, event_hooks={"response": [status, bound.take]}) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=max_bytes) as streams,
    ):
        yield streams


class _Bound:
    """Bounds bodies of answers. Compressed ones are refused: their size is not known before they are unpacked."""

    def __init__(self, max_bytes: int, *, in_all: bool) -> None:
        self._max_bytes = max_bytes
        self._together = _Left(max_bytes, httpx2.ReadError("too long an answer")) if in_all else None

    async def take(self, response: httpx2.Response) -> None:
        """The hook of the client."""
        packed = "content-encoding" in response.headers
        if not isinstance(response.stream, httpx2.AsyncByteStream) or (packed and self._together is not None):
            raise httpx2.DecodingError("a compressed answer")
        streams = response.headers.get("content-type", "").startswith("text/event-stream")
        if self._together is None and streams and not packed:
            return  # which never ends; the SDK bounds each message
        left = self._together or _Left(0 if packed else self._max_bytes, httpx2.StreamError("too long an answer"))
        response.stream = _Body(response.stream, left)


class _Left:
    """Bytes that may still come; `error` is for those after them. Of a `StreamError` the SDK makes an answer to the
    one request, others end the connection."""

    def __init__(self, bytes_: int, error: Exception) -> None:
        self._bytes, self._error = bytes_, error

    def take(self, count: int) -> None:
        self._bytes -= count
        if self._bytes < 0:
            raise self._error


class _Body(httpx2.AsyncByteStream):
    """A body of which no more is read than is left."""

    def __init__(self, body: httpx2.AsyncByteStream, left: _Left) -> None:
        self._body, self._left = body, left

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._body:
            self._left.take(len(chunk))
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._body.aclose()
