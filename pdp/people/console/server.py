"""The console's listener: uvicorn in the service's event loop, and the bounds of each connection."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import h11
import uvicorn
from typing_extensions import override
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pdp.core.call.names import is_loopback
from pdp.core.errors import ConfigurationFault
from pdp.host.http_listener import server_tls
from pdp.host.part import Part
from pdp.people.console.app import application
from pdp.people.console.guard import headers
from pdp.people.console.oidc import Provider
from pdp.people.console.options import ConsoleOptions, ConsoleTlsOptions
from pdp.people.console.visit import ConsoleServices

log = logging.getLogger("pdp.console")
_MIN_KEY_BYTES = 32
_BACKLOG = 256
_MAX_HEADERS = 32 << 10
_KEEP_ALIVE_SECONDS = 30


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the process, which drains everybody in order."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ConsoleServer:
    """The console. `start`, then `drain`; a new one for a new start.

    `key`: at least 32 secret bytes that replicas share (service.index_key will do: others are derived from it).
    `secrets`: the client secrets by provider name, for those that have one.
    """

    def __init__(
        self,
        options: ConsoleOptions,
        services: ConsoleServices,
        *,
        key: bytes,
        secrets: Mapping[str, bytes],
        production: bool,
    ) -> None:
        """Raises ConfigurationFault (`config.listen`, `config.plaintext`, `config.tls`, `config.secret`,
        `console.*`)."""
        self._host, self._port = check(options, production=production)
        if len(key) < _MIN_KEY_BYTES:
            raise ConfigurationFault("config.secret", f"console: the key is shorter than {_MIN_KEY_BYTES} bytes.")
        tls = options.tls
        self._tls = context = None if tls is None else _tls(tls)
        self._options = options
        self._stopping = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        self._socket = Listener(family, options.max_connections)
        providers = {
            each.name: Provider(
                each,
                secrets.get(each.name, b""),
                f"{options.public_url}/signin/{each.name}/callback",
                services.clock,
                services.marks.get(each.issuer),
            )
            for each in options.providers
        }
        app = application(options, services, key=key, providers=providers, stopping=self._stopping)
        config = uvicorn.Config(
            app,
            http=protocol(headers(options), self._socket),
            ws="none",
            loop="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=options.max_connections,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(options.drain_seconds)),
            h11_max_incomplete_event_size=_MAX_HEADERS,
            ssl_context_factory=None if context is None else lambda _config, _default: context,
        )
        config.load()
        self._server = _Uvicorn(config)

    @property
    def address(self) -> str:
        """The listener's HOST:PORT, with the port that the system chose for port 0."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises ConfigurationFault when the address cannot be bound; nothing is served then."""
        listener = self._socket
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self._host, self._port))
            listener.listen(_BACKLOG)
        except OSError:
            listener.close()
            raise ConfigurationFault(
                "config.listen", "console.listen: cannot be bound; is the address ours and the port free?"
            ) from None
        self._port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]))
        log.info("console on %s as %s", self.address, self._options.public_url)

    @property
    def part(self) -> Part:
        """What a running process does with it."""
        return Part("console", start=self.start, work=self._served, drain=self.drain)

    async def _served(self) -> None:
        """Wait for what `start` began, which ends only with `drain`; else it failed."""
        if self._serving is not None:
            await asyncio.shield(self._serving)

    def renew(self) -> None:
        """Take the certificate and key that are in the files now, for connections that come. Raises
        ConfigurationFault `config.tls`."""
        if self._tls is not None and (tls := self._options.tls) is not None:
            _tls(tls)  # in a context of its own first: half a pair would spoil the one that serves
            try:
                self._tls.load_cert_chain(tls.certificate_file, tls.key_file, password=lambda: "")
            except OSError:
                raise ConfigurationFault("config.tls", "console.tls: the files are changing") from None

    async def drain(self) -> None:
        """Take no more, end the streams, finish what was begun within `drain_seconds`, then close."""
        self._stopping.set()
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
            self._serving = None
        self._socket.close()


def check(options: ConsoleOptions, *, production: bool) -> tuple[str, int]:
    """The address at which the console would listen. Raises ConfigurationFault for what it would refuse; nothing is
    opened."""
    if production and options.development_accounts:
        raise ConfigurationFault(
            "console.development_accounts",
            "console.development_accounts: such accounts have no password; remove them in production.",
        )
    if options.tls is not None:
        _tls(options.tls)
    return _address(options)


def _address(options: ConsoleOptions) -> tuple[str, int]:
    host, colon, port = options.listen.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not bare or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ConfigurationFault("config.listen", "console.listen: must be HOST:PORT or [IPV6]:PORT.")
    if options.tls is None and not options.behind_proxy and (bare == "localhost" or not is_loopback(bare)):
        raise ConfigurationFault(
            "config.plaintext",
            "console.listen: plaintext is only served on a literal loopback address. Give console.tls, or say "
            "console.behind_proxy: true where a proxy speaks TLS and nobody else reaches the address.",
        )
    return bare, int(port)


def _tls(options: ConsoleTlsOptions) -> ssl.SSLContext:
    return server_tls(options.certificate_file, options.key_file, "console.tls: certificate_file and key_file")


REQUEST_SECONDS = 10.0  # from the first byte, or from the connection, until a request has come whole
WRITE_SECONDS = 30.0  # for a reader that takes nothing


class Listener(socket.socket):
    """Limits accepted connections whose TLS handshake is not done, which no `ConsoleConnection` counts yet: one more
    ends the oldest of them."""

    def __init__(self, family: int, most: int) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._most = most
        self._begun: dict[object, socket.socket] = {}  # by the other side's address, oldest first

    @override
    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        self._begun = {where: each for where, each in self._begun.items() if each.fileno() >= 0}
        if len(self._begun) >= self._most:
            oldest = self._begun.pop(next(iter(self._begun)))
            with contextlib.suppress(OSError):
                oldest.shutdown(socket.SHUT_RDWR)
        self._begun[address] = connection
        return connection, address

    def shaken(self, address: object) -> None:
        """A connection has become a `ConsoleConnection`, which is counted with its kind."""
        self._begun.pop(address, None)


class ConsoleConnection(H11Protocol):
    """One HTTP connection. At the limit a new one replaces the longest idle one; connections with an answer under way
    stay."""

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
            self.transport.abort()  # the application waits for the rest, and learns of the disconnection

    def _make_room(self) -> bool:
        others = (each for each in self.connections if isinstance(each, ConsoleConnection) and each is not self)
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
            response = h11.Response(status_code=status, headers=list(headers.items()), reason=reason)
            for event in (response, h11.Data(data=message.encode("ascii")), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def protocol(headers: Mapping[str, str], listener: Listener) -> type[ConsoleConnection]:
    """The connections of a console whose every answer has these headers, and that `listener` accepts."""
    return type("Connection", (ConsoleConnection,), {"every": headers, "shaken": staticmethod(listener.shaken)})


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
