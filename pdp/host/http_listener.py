"""A small HTTP/1.1 server (h11): one request a connection; head, body, time and connections are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import h11

from pdp.core.call.request import Peer
from pdp.core.errors import ConfigurationFault
from pdp.host.options import ListenerOptions
from pdp.host.part import Part
from pdp.host.renewed_files import RenewedFiles, Take

log = logging.getLogger("pdp.http")

_MAX_HEAD = 16 << 10  # bytes
_SECONDS = 10.0  # of a handshake, and of one exchange
_CONNECTIONS = 64
_CHUNK = 8 << 10  # bytes


@dataclass(frozen=True, slots=True)
class HttpCall:
    """One whole request. `headers` by their names in lower case; what stands twice is joined by a comma. `peer` is
    known to an `HttpApi` alone."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    peer: Peer = field(default=Peer("none"))


@dataclass(frozen=True, slots=True)
class HttpReply:
    """The answer to one request. `kept` is its Cache-Control."""

    status: int
    body: bytes = b""
    kind: str = "text/plain; charset=utf-8"
    kept: str = "no-store"
    more: tuple[tuple[str, str], ...] = ()


_BUSY = HttpReply(503, more=(("Retry-After", "1"),))


class HttpListener(ABC):
    """A bound address and what it answers. `start`, then `drain`. `setting` is what messages call the address."""

    def __init__(
        self,
        listen: str,
        setting: str,
        *,
        max_body: int = 0,
        tls: ssl.SSLContext | None = None,
        said: str = "",
        connections: int = _CONNECTIONS,
    ) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._setting, self._said = setting, said
        self._max_body = max_body
        self._tls = tls
        self._slots = asyncio.Semaphore(connections)
        self._servers: list[asyncio.Server] = []

    @property
    def address(self) -> str:
        """HOST:PORT, with the port that the system chose for port 0."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises ConfigurationFault `config.listen`."""
        try:
            self._servers = [await self._listen(self._tls, host=self._host, port=self._port)]
        except OSError:
            raise ConfigurationFault(
                "config.listen", f"{self._setting}: cannot be bound; is the port free?"
            ) from None
        self._port = self._servers[0].sockets[0].getsockname()[1]
        log.info("%s on %s", self._said, self.address)

    @property
    def part(self) -> Part:
        """What a running process does with it."""
        return Part(self._setting, start=self.start, drain=self.drain)

    def renewing(
        self, name: str, options: ListenerOptions, tls: Callable[[], ssl.SSLContext | None], ca: Path | None = None
    ) -> Part:
        """The same, of the section `name`, whose files `tls` reads anew when they change."""

        def prepare() -> Take:
            found = tls()

            async def take() -> None:
                if found is not None:
                    await self.renew(found)

            return take

        files = (*(options.pair or ()), *(() if ca is None else (ca,)))
        return replace(self.part, renews=() if options.pair is None else (RenewedFiles(name, files, prepare),))

    async def renew(self, tls: ssl.SSLContext) -> None:
        """Take other TLS files for connections that come from now on; those that are open go on. Raises
        ConfigurationFault `config.listen`; then the former ones stay."""
        former, again = self._servers, list[socket.socket]()
        try:
            for each in (each for server in former for each in server.sockets):
                again.append(each.dup())  # the same sockets, so that nobody is refused in between
            made = [await self._listen(tls, sock=each) for each in again]
        except OSError as error:
            for each in again:
                each.close()
            raise ConfigurationFault(
                "config.listen", f"{self._setting}: cannot take other TLS files now ({error.strerror})."
            ) from None
        self._tls, self._servers = tls, made
        for server in former:
            server.close()

    async def _listen(self, tls: ssl.SSLContext | None, **where: Any) -> asyncio.Server:
        handshake = _SECONDS if tls else None
        return await asyncio.start_server(self._serve, ssl=tls, ssl_handshake_timeout=handshake, **where)

    async def drain(self) -> None:
        """Take no more."""
        for server in self._servers:
            server.close()

    @abstractmethod
    async def answer(self, call: HttpCall) -> HttpReply:
        """The answer to one request, which has come whole."""

    def too_large(self, call: HttpCall) -> HttpReply:  # noqa: ARG002 - others answer in their own form
        """The answer to a request whose body is too large, and is left out."""
        return HttpReply(413)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with its answer. One connection too many is told to come back."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        with contextlib.suppress(OSError, TimeoutError):
            if self._slots.locked():
                writer.write(reply_bytes(connection, _BUSY))
            else:
                async with self._slots, asyncio.timeout(_SECONDS):
                    await self._exchange(connection, reader, writer)
                    await writer.drain()
        writer.close()

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        request = None
        try:
            request, whole = await whole_request(connection, reader, writer, self._max_body)
        except h11.RemoteProtocolError as error:
            reply = HttpReply(error.error_status_hint)
        else:
            reply = await self.answered(request) if whole else self.too_large(request)
        writer.write(reply_bytes(connection, reply, is_head=request is not None and request.method == "HEAD"))

    async def answered(self, request: HttpCall) -> HttpReply:
        """The same, whatever happens."""
        try:
            return await self.answer(request)
        except Exception:
            log.exception("%s: a request could not be answered", self._said)
            return HttpReply(500)


async def whole_request(
    connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int
) -> tuple[HttpCall, bool]:
    """The next request, and whether it is whole: a body of more than `most` bytes is read to its end, so that the
    answer arrives, and left out."""
    head = await _event(connection, reader, writer)
    if not isinstance(head, h11.Request):
        raise ConnectionResetError  # it went away
    body = bytearray()
    while isinstance(event := await _event(connection, reader, writer), h11.Data):
        if len(body) <= most:
            body += event.data
    whole = len(body) <= most
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return HttpCall(head.method.decode(), head.target.decode(), headers, bytes(body) if whole else b""), whole


async def _event(connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            writer.write(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        connection.receive_data(await reader.read(_CHUNK))
    return event


def reply_bytes(
    connection: h11.Connection, reply: HttpReply, *, is_head: bool = False, is_last: bool = True
) -> bytes:
    """The reply on the wire; to a HEAD, without its body. The last one closes its connection."""
    headers = [
        ("Content-Type", reply.kind),
        ("Content-Length", str(len(reply.body))),
        ("Cache-Control", reply.kept),
        ("X-Content-Type-Options", "nosniff"),
        *((("Connection", "close"),) if is_last else ()),
        *reply.more,
    ]
    fields = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]  # as HTTP has them
    reason = HTTPStatus(reply.status).phrase.encode()
    head = h11.Response(status_code=reply.status, headers=fields, reason=reason)
    body = h11.Data(data=b"" if is_head else reply.body)
    return b"".join(connection.send(event) or b"" for event in (head, body, h11.EndOfMessage()))


def server_tls(certificate_file: Path, key_file: Path, named: str) -> ssl.SSLContext:
    """The TLS context of a listener; `named` is what messages call the two files.

    Raises ConfigurationFault `config.tls`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # never ask at a terminal
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")
    except (OSError, ValueError):
        raise ConfigurationFault("config.tls", f"{named} must be PEM, a pair, and without a password.") from None
    return context


def listener_tls(options: ListenerOptions, named: str) -> ssl.SSLContext | None:
    """The same of the configuration's section `named`; None for plaintext."""
    return None if options.pair is None else server_tls(*options.pair, f"{named}: certificate_file and key_file")


def trust_clients(context: ssl.SSLContext, client_ca_file: Path, named: str) -> None:
    """Let `context` accept certificates that the authorities in this PEM file have signed. Raises ConfigurationFault
    `config.tls`."""
    try:
        context.load_verify_locations(client_ca_file)
    except OSError:
        raise ConfigurationFault("config.tls", f"{named}.client_ca_file: holds no PEM certificate.") from None
