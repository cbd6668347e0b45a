"""What leaves for the endpoint and what is taken from it: only headers that are needed, only so many bytes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import httpx2
from typing_extensions import override

from pdp.core.errors import ConfigurationFault
from pdp.judge.options import JudgeOptions

MAX_BODY = 512 << 10  # bytes of an answer, reasoning included
_SENT = frozenset({"host", "accept", "content-type", "content-length", "authorization", "connection"})
_KEEP_SECONDS = 30.0


class BodyError(httpx2.ReadError):
    """The answer is larger than any answer, or packed so that its size cannot be told."""


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends with an error where it is too long."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BODY
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise BodyError("the answer is too large")
            yield chunk

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


class Egress(httpx2.AsyncBaseTransport):
    """The way to the endpoint. The client library would tell it about this machine; it is told what it needs."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, *, authorized: bool) -> None:
        self._inner = inner
        self._sent = _SENT if authorized else _SENT - {"authorization"}

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        headers = [(name, value) for name, value in request.headers.multi_items() if name.lower() in self._sent]
        sent = httpx2.Request(
            request.method,
            request.url,
            headers=[*headers, ("user-agent", "pdp-judge"), ("accept-encoding", "identity")],
            stream=request.stream,
            extensions=request.extensions,
        )
        response = await self._inner.handle_async_request(sent)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise BodyError("the answer is packed, which was not asked for")
        if not isinstance(response.stream, httpx2.AsyncByteStream):
            raise TypeError("an asynchronous transport answers with an asynchronous stream")
        response.stream = _Bounded(response.stream)
        return response

    @override
    async def aclose(self) -> None:
        await self._inner.aclose()


def client(options: JudgeOptions, *, authorized: bool) -> httpx2.AsyncClient:
    """An HTTP client that follows no redirects and takes nothing from the environment. Raises ConfigurationFault."""
    inner = httpx2.AsyncHTTPTransport(
        verify=_authorities(options),
        trust_env=False,
        limits=httpx2.Limits(max_connections=options.max_concurrent, keepalive_expiry=_KEEP_SECONDS),
        proxy=httpx2.Proxy(options.proxy) if options.proxy else None,
    )
    return httpx2.AsyncClient(
        transport=Egress(inner, authorized=authorized),
        timeout=httpx2.Timeout(options.attempt_seconds),
        follow_redirects=False,
        trust_env=False,
    )


def _authorities(options: JudgeOptions) -> ssl.SSLContext | bool:
    if options.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=options.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationFault("judge.ca_file", "judge.ca_file: cannot be read as PEM certificates.") from None
