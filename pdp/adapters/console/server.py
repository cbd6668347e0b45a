"""The console's own listener: uvicorn in the service's event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator, Mapping

import uvicorn
from typing_extensions import override

from pdp.adapters.console.app import application
from pdp.adapters.console.connection import Listener, protocol
from pdp.adapters.console.guard import headers
from pdp.adapters.console.oidc import Provider
from pdp.adapters.console.options import ConsoleOptions, ConsoleTlsOptions, is_loopback
from pdp.adapters.console.visit import ConsoleServices
from pdp.core.errors import ConfigurationFault

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
            ssl_context_factory=None if tls is None else lambda _config, _default: _tls(tls),
        )
        config.load()
        self._server = _Uvicorn(config)

    @property
    def address(self) -> str:
        """Where it listens, HOST:PORT, with the port that the system chose for port 0."""
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

    async def drain(self) -> None:
        """Take no more, end the streams, finish what was begun within `drain_seconds`, then close."""
        self._stopping.set()
        if self._serving is not None:
            self._server.should_exit = True
            await asyncio.gather(self._serving, return_exceptions=True)
            self._serving = None
        self._socket.close()


def check(options: ConsoleOptions, *, production: bool) -> tuple[str, int]:
    """Where the console would listen. Raises ConfigurationFault for what it would refuse; nothing is opened."""
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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(options.certificate_file, options.key_file, password=lambda: "")
    except (OSError, ValueError):
        raise ConfigurationFault(
            "config.tls", "console.tls: certificate_file and key_file must be PEM, a pair, and without a password."
        ) from None
    return context
