"""One connection to the console: uvicorn's HTTP/1.1 with deadlines, a bound that silence cannot use up, and our
headers on what uvicorn itself answers."""

from __future__ import annotations

import asyncio
import contextlib
import http
import socket
from collections.abc import Callable, Mapping
from typing import Any

import h11
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

REQUEST_SECONDS = 10.0  # from the first byte, or from the connection, until a request has come whole
WRITE_SECONDS = 30.0  # for a reader that takes nothing


class Listener(socket.socket):
    """Accepts so many connections that have not shaken hands for TLS, which no `Connection` knows of yet: beyond, the
    first of them is ended."""

    def __init__(self, family: int, most: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._most = most
        self._begun: dict[object, socket.socket] = {}  # by the other side's address, oldest first

    @override
    def accept(self) -> tuple[socket.socket, Any]:
        made, address = super().accept()
        self._begun = {where: each for where, each in self._begun.items() if each.fileno() >= 0}
        if len(self._begun) >= self._most:
            oldest = self._begun.pop(next(iter(self._begun)))
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        self._begun[address] = made
        return made, address

    def shaken(self, address: object) -> None:
        """A connection has become a `Connection`, which is counted with its kind."""
        self._begun.pop(address, None)


class Connection(H11Protocol):
    """Where as many connections are open as may be, a new one takes the place of the one that has been silent for
    longest: only connections with an answer under way keep theirs."""

    every: Mapping[str, str] = {}  # headers of every answer
    shaken: Callable[[object], None] = staticmethod(lambda _: None)  # told of its address

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._most, self.limit_concurrency = self.limit_concurrency or 0, None  # uvicorn would count silent ones
        self._reading, self._writing = _Deadline(self.loop), _Deadline(self.loop)
        self._since = 0.0  # when it began to wait for a request, or to be silent

    @property
    def waits(self) -> bool:
        """Whether no answer is under way: it is silent, or a request has not come whole."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(transport)
        self.shaken(transport.get_extra_info("peername"))
        self._expect()
        if len(self.connections) > self._most and not self._make_room():
            self._refuse(503, "Too many connections; try again.\n")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._reading.stop()
        self._writing.stop()
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        self._expect()
        super().data_received(data)
        if not self.waits:
            self._reading.stop()

    @override
    def on_response_complete(self) -> None:
        self._since = self.loop.time()  # it may be kept alive for a while
        self._reading.stop()
        super().on_response_complete()
        if not self.cycle.response_complete and self.waits:  # the next request came with the last, in part
            self._expect()

    @override
    def pause_writing(self) -> None:
        super().pause_writing()
        self._writing.start(WRITE_SECONDS, self.transport.abort)

    @override
    def resume_writing(self) -> None:
        self._writing.stop()
        super().resume_writing()

    @override
    def send_400_response(self, msg: str) -> None:
        self._refuse(400, f"{msg}\n")

    def _expect(self) -> None:
        if self._reading.start(REQUEST_SECONDS, self._too_slow):
            self._since = self.loop.time()

    def _too_slow(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(408, "The request did not come in time.\n")
        else:
            self.transport.abort()  # the application waits for the rest, and learns that nobody is there

    def _make_room(self) -> bool:
        others = (each for each in self.connections if isinstance(each, Connection) and each is not self)
        silent = [each for each in others if each.waits]
        if not silent:
            return False
        oldest = min(silent, key=lambda each: each._since)  # noqa: SLF001 - of its own kind
        self.connections.discard(oldest)
        oldest.transport.abort()
        return True

    def _refuse(self, status: int, message: str) -> None:
        """Answer in the application's place, and close. Nothing is said in the middle of another answer."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            headers = {**self.every, "content-type": "text/plain; charset=utf-8", "connection": "close"}
            reason = http.HTTPStatus(status).phrase.encode()
            said = h11.Response(status_code=status, headers=list(headers.items()), reason=reason)
            for event in (said, h11.Data(data=message.encode("ascii")), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def protocol(headers: Mapping[str, str], listener: Listener) -> type[Connection]:
    """The connections of a console whose every answer has these headers, and that `listener` accepts."""
    return type("ConsoleConnection", (Connection,), {"every": headers, "shaken": staticmethod(listener.shaken)})


class _Deadline:
    """A timer that runs at most once at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    def start(self, seconds: float, late: Callable[[], None]) -> bool:
        """Whether it was not running yet."""
        if self._timer is not None:
            return False
        self._timer = self._loop.call_later(seconds, late)
        return True

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
