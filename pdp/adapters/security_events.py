"""The receiver of pushed security events over HTTP (RFC 8935): one signed SET a request, on a listener of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import h11

from pdp.core.errors import ConfigurationFault, Fault
from pdp.core.security_events import SignalRefusal

log = logging.getLogger("pdp.signals")

MAX_BODY = 64 * 1024  # bytes
_MAX_HEAD = 16 * 1024
_SECONDS = 10.0  # of one exchange
_CONNECTIONS = 64
_CHUNK = 8 * 1024
_TYPE = "application/secevent+jwt"

Take = Callable[[str, str], Awaitable[SignalRefusal | None]]


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    body: bytes = b""
    more: tuple[tuple[str, str], ...] = ()


def _problem(err: str, description: str) -> _Reply:
    body = json.dumps({"err": err, "description": description}).encode()
    return _Reply(400, body, (("Content-Type", "application/json"), ("Content-Language", "en")))


_LATER = _Reply(503, more=(("Retry-After", "1"),))


class SignalListener:
    """The listener. `start`, then `drain`."""

    def __init__(self, listen: str, path: str, context: ssl.SSLContext | None, take: Take) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port, self._path = host.strip("[]"), int(port), path.encode("ascii")
        self._tls = context
        self._take = take
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
                self._serve,
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=_SECONDS if self._tls else None,
            )
        except OSError:
            raise ConfigurationFault("config.listen", "signals.listen: cannot be bound; is the port free?") from None
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("security events on %s", self.address)

    async def drain(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with its answer."""
        if self._slots.locked():
            writer.close()
            return
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
            async with self._slots, asyncio.timeout(_SECONDS):
                try:
                    reply = await self._exchange(connection, reader, writer)
                except h11.RemoteProtocolError as error:
                    reply = _Reply(error.error_status_hint)
                writer.write(_bytes(connection, reply))
                await writer.drain()
        writer.close()

    async def _exchange(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> _Reply:
        request = await _next(connection, reader, writer)
        if not isinstance(request, h11.Request):
            raise ConnectionResetError  # it went away
        headers = dict(request.headers)
        if (refused := self._refused(request, headers)) is not None:
            return refused
        body = bytearray()
        while isinstance(event := await _next(connection, reader, writer), h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return _Reply(413)
        return await self._answer(bytes(body), headers.get(b"authorization", b""))

    def _refused(self, request: h11.Request, headers: Mapping[bytes, bytes]) -> _Reply | None:
        if request.target != self._path:
            return _Reply(404)
        if request.method != b"POST":
            return _Reply(405, more=(("Allow", "POST"),))
        kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        if kind != _TYPE or b"content-encoding" in headers:
            return _problem("invalid_request", f"the body must be one SET as {_TYPE}, not compressed")
        return None

    async def _answer(self, body: bytes, authorization: bytes) -> _Reply:
        try:
            refused = await self._take(body.decode("ascii", "replace").strip(), authorization.decode("latin-1"))
        except Fault as fault:
            log.error("a security event could not be taken: %s", fault.code)
            return _LATER
        except Exception:
            log.exception("a security event could not be taken")
            return _Reply(500)
        if refused is None:
            return _Reply(202)
        log.warning("a security event was refused: %s", refused.code)
        return _problem(refused.err, refused.message) if refused.err else _LATER


async def _next(connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> object:
    """The next event of the request."""
    while (event := connection.next_event()) is h11.NEED_DATA:
        if connection.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            writer.write(connection.send(go_on) or b"")
        connection.receive_data(await reader.read(_CHUNK))
    return event


def tls(certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """The context of the listener. Raises ConfigurationFault `config.tls`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")
    except (OSError, ValueError):
        raise ConfigurationFault(
            "config.tls", "signals: certificate_file and key_file must be PEM, a pair, and without a password."
        ) from None
    return context


def _bytes(connection: h11.Connection, reply: _Reply) -> bytes:
    headers = [
        ("Content-Length", str(len(reply.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
        *reply.more,
    ]
    response = h11.Response(status_code=reply.status, headers=headers)
    events = (response, h11.Data(data=reply.body), h11.EndOfMessage())
    return b"".join(connection.send(event) or b"" for event in events)
