"""An HTTP listener for callers: connections are kept alive, and each call has the peer that a caller is known by.

A caller shows a client certificate, where the listener asks for one, or a token; what they are worth the admission
says. The requests of a connection are answered one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h11
from typing_extensions import override

from pdp.adapters.grpc.servicer import certified
from pdp.adapters.http_listener import HttpCall, HttpListener, HttpReply, reply_bytes, server_tls, whole_request
from pdp.core.errors import ConfigurationFault
from pdp.core.request import Peer

MAX_HEAD = 40 << 10  # bytes; a token has up to 32 KiB
READ_SECONDS = 10.0  # from the first byte of a request, or from the connection, until it has come whole
IDLE_SECONDS = 60.0  # between two requests
WRITE_SECONDS = 30.0  # for a reader that takes nothing
CONNECTIONS = 256
_CHUNK = 64 << 10


class HttpApi(HttpListener):
    """A bound address for callers. At the limit a new connection replaces the longest-standing one that waits for a
    request."""

    _connections: dict[asyncio.Task[None], bool]  # each with whether an answer is under way
    _draining = False

    @override
    async def start(self) -> None:
        """See `HttpListener.start`."""
        self._connections = {}
        await super().start()

    @override
    async def drain(self) -> None:
        """Take no more, finish what was begun, close the rest."""
        self._draining = True
        await super().drain()
        for task, busy in tuple(self._connections.items()):
            if not busy:
                task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    @override
    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio has made one for the connection
        if len(self._connections) >= CONNECTIONS and not self._make_room():
            writer.transport.abort()
            return
        self._connections[task] = False
        try:
            with contextlib.suppress(OSError, TimeoutError, h11.LocalProtocolError, asyncio.CancelledError):
                await self._converse(task, reader, writer)
        finally:
            del self._connections[task]
            writer.close()

    def _make_room(self) -> bool:
        waiting = (task for task, busy in self._connections.items() if not busy and not task.cancelling())
        oldest = next(waiting, None)
        return oldest is not None and oldest.cancel()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer request after request. Raises what ends a connection."""
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        peer, patience = self._peer(writer), READ_SECONDS
        while not self._draining and await _begun(connection, reader, patience):
            request = None
            try:
                async with asyncio.timeout(READ_SECONDS):
                    request, whole = await whole_request(connection, reader, writer, self._max_body)
                request, reply = request if whole else None, HttpReply(413)
            except h11.RemoteProtocolError as error:
                reply = HttpReply(error.error_status_hint)
            except TimeoutError:
                reply = HttpReply(408)
            if request is not None:
                self._connections[task] = True
                reply = await self.answered(replace(request, peer=peer(request)))
            writer.write(reply_bytes(connection, reply, is_last=self._draining or request is None))
            async with asyncio.timeout(WRITE_SECONDS):
                await writer.drain()
            self._connections[task] = False
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            patience = IDLE_SECONDS

    def _peer(self, writer: asyncio.StreamWriter) -> Callable[[HttpCall], Peer]:
        """The peer of a connection, but for its token. It never raises: see `peer_of`."""
        if self._tls is None:
            return lambda call: Peer("loopback", (), call.headers.get("authorization", ""))
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if not shown:
            return lambda call: Peer("tls", (), call.headers.get("authorization", ""))
        try:
            sans, until_ns = certified(ssl.DER_cert_to_PEM_cert(shown).encode())
        except Exception:  # noqa: BLE001 - a certificate may provoke any exception in its parser
            return lambda call: Peer("mtls", (), call.headers.get("authorization", ""), unreadable=True)
        return lambda call: Peer("mtls", sans, call.headers.get("authorization", ""), until_ns=until_ns)


async def _begun(connection: h11.Connection, reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether bytes of a request have come in time."""
    if connection.trailing_data[0]:
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            data = await reader.read(_CHUNK)
        connection.receive_data(data)
        return bool(data)
    return False


def api_tls(certificate_file: Path, key_file: Path, client_ca_file: Path | None, named: str) -> ssl.SSLContext:
    """TLS for callers. With `client_ca_file` one may show a certificate that it has signed; one without is known by
    its token. Raises ConfigurationFault `config.tls`."""
    context = server_tls(certificate_file, key_file, f"{named}: certificate_file and key_file")
    if client_ca_file is not None:
        try:
            context.load_verify_locations(client_ca_file)
        except OSError:
            raise ConfigurationFault("config.tls", f"{named}.client_ca_file: holds no PEM certificate.") from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
