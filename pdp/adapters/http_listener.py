"""A small HTTP/1.1 server: one request a connection; head, body, time and connections are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from abc import ABC, abstractmethod
from http import HTTPStatus

from pdp.core.errors import ConfigurationFault

log = logging.getLogger("pdp.log")

_MAX_HEAD = 8_192
_SECONDS = 10.0  # of one exchange
_CONNECTIONS = 64


class HttpListener(ABC):
    """A bound address and what it answers. `start`, then `drain`. `setting` is what messages call the address."""

    def __init__(
        self, listen: str, setting: str, *, max_body: int = 0, tls: ssl.SSLContext | None = None, said: str = ""
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._setting, self._said = setting, said
        self._max_body = max_body
        self._tls = tls
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, with the port that the system chose for port 0."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises ConfigurationFault `config.listen`."""
        try:
            self._server = await asyncio.start_server(
                self._serve, self._host, self._port, limit=_MAX_HEAD, ssl=self._tls
            )
        except OSError:
            raise ConfigurationFault(
                "config.listen", f"{self._setting}: cannot be bound; is the port free?"
            ) from None
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("%s on %s", self._said, self.address)

    async def drain(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    @abstractmethod
    async def answer(self, method: str, path: str, hosts: list[str], body: bytes) -> bytes:
        """The response to one request; `hosts` are the values of its Host fields."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with its answer."""
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with self._slots, asyncio.timeout(_SECONDS):
                writer.write(await self._exchange(reader))
                await writer.drain()
        writer.close()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        path, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1."):
            return response(400)
        length = _field(lines, "content-length") or ["0"]
        if _field(lines, "transfer-encoding") or len(length) > 1 or not length[0].isdecimal() or len(length[0]) > 9:
            return response(411)
        if int(length[0]) > self._max_body:
            return response(413)
        body = await reader.readexactly(int(length[0]))
        return await self.answer(method, path, _field(lines, "host"), body)


def _field(lines: list[str], name: str) -> list[str]:
    return [line.partition(":")[2].strip() for line in lines if line.lower().startswith(f"{name}:")]


def response(
    status: int, data: bytes = b"", kind: str = "text/plain", kept: str = "no-store", *, body: bool = True
) -> bytes:
    """A response's bytes; without its `body` the head is the same."""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        f"Cache-Control: {kept}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (data if body else b"")
