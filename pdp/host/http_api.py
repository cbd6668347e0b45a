"""An HTTP listener for callers: connections are kept alive, and each call has the peer that a caller is known by.

A caller shows a client certificate, where the listener asks for one, or a token; what they are worth the admission
says. The requests of a connection are answered one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import replace
from pathlib import Path

import h11
from typing_extensions import override

from pdp.core.call.request import Peer
from pdp.host.http_listener import (
    HttpListener,
    HttpReply,
    listener_tls,
    reply_bytes,
    trust_clients,
    whole_request,
)
from pdp.host.options import ListenerOptions
from pdp.host.peers import certified_peer

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
        peer, patience = self._peer(writer), READ_SECONDS  # but for the token
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
                authorization = request.headers.get("authorization", "")
                reply = await self.answered(replace(request, peer=replace(peer, authorization=authorization)))
            writer.write(reply_bytes(connection, reply, is_last=self._draining or request is None))
            async with asyncio.timeout(WRITE_SECONDS):
                await writer.drain()
            self._connections[task] = False
            if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                return
            connection.start_next_cycle()
            patience = IDLE_SECONDS

    def _peer(self, writer: asyncio.StreamWriter) -> Peer:
        if self._tls is None:
            return Peer("loopback", ())
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return certified_peer(ssl.DER_cert_to_PEM_cert(shown).encode()) if shown else Peer("tls", ())


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


def api_tls(options: ListenerOptions, client_ca_file: Path | None, named: str) -> ssl.SSLContext | None:
    """TLS for callers of the configuration's section `named`. With `client_ca_file` one may show a certificate that
    it has signed; one without is known by its token. Raises ConfigurationFault `config.tls`."""
    context = listener_tls(options, named)
    if context is not None and client_ca_file is not None:
        trust_clients(context, client_ca_file, named)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context
