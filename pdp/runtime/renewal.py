"""Private keys and certificates that a running process takes anew when their files change."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pdp.core.errors import ConfigurationFault
from pdp.host.http_api import api_tls
from pdp.host.http_listener import HttpListener, listener_tls, server_tls
from pdp.host.options import ListenerOptions
from pdp.people.console.options import ConsoleTlsOptions
from pdp.registry.keys import load_keys
from pdp.registry.load import SignedRegistry
from pdp.registry.options import RegistryOptions, ReleaseOptions
from pdp.registry.release import SignedReleases
from pdp.runtime.config.settings import Settings
from pdp.wire.grpc.options import TlsOptions
from pdp.wire.grpc.server import GrpcServer, ServerTls

if TYPE_CHECKING:
    from pdp.people.console.server import ConsoleServer

Take = Callable[[], Awaitable[None]]


class RenewedFiles:
    """Implements `ports.RenewedSecret` for the files of one setting. `prepare` reads and checks them in a thread, and
    returns what puts them in force; it raises ConfigurationFault."""

    def __init__(self, name: str, files: tuple[Path, ...], prepare: Callable[[], Take]) -> None:
        self.name = name
        self._files, self._prepare = files, prepare
        self._seen = self._signature()
        self._fault: ConfigurationFault | None = None

    async def look(self) -> Take | None:
        """See `ports.RenewedSecret`."""
        now = await asyncio.to_thread(self._signature)
        if now == self._seen:
            if self._fault is not None:
                raise self._fault
            return None
        try:
            take = await asyncio.to_thread(self._prepare)
        except ConfigurationFault as fault:
            self._seen, self._fault = now, fault
            raise

        async def taken() -> None:
            await take()
            self._seen, self._fault = now, None  # as before the reading: what changed meanwhile is read once more

        return taken

    def _signature(self) -> tuple[object, ...]:
        return tuple(map(_status, self._files))


def _status(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None where it is not there."""
    try:
        info = path.stat()
    except OSError:
        return None
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_mode, info.st_uid)


def tls_files(
    settings: Settings, server: GrpcServer, console: ConsoleServer | None, listeners: dict[str, HttpListener | None]
) -> Iterator[RenewedFiles]:
    """The TLS files of the server, the console, and of the listeners by their section of the configuration."""
    if settings.server.tls is not None and server.tls is not None:
        yield _of_server(settings.server.tls, server.tls)
    if settings.console is not None and settings.console.tls is not None and console is not None:
        yield _of_console(settings.console.tls, console)
    for name, listener in listeners.items():
        section: ListenerOptions | None = getattr(settings, name)
        if listener is not None and section is not None and section.pair is not None:
            yield _of_listener(name, section, listener)


def _of_server(options: TlsOptions, tls: ServerTls) -> RenewedFiles:
    def prepare() -> Take:
        found = tls.read()

        async def take() -> None:
            tls.take(found)

        return take

    ca = options.client_ca_file
    return RenewedFiles(
        "server.tls", (options.certificate_file, options.key_file, *(() if ca is None else (ca,))), prepare
    )


def _of_console(options: ConsoleTlsOptions, console: ConsoleServer) -> RenewedFiles:
    def prepare() -> Take:
        server_tls(options.certificate_file, options.key_file, "console.tls: certificate_file and key_file")

        async def take() -> None:
            await asyncio.to_thread(console.renew)

        return take

    return RenewedFiles("console.tls", (options.certificate_file, options.key_file), prepare)


def _of_listener(name: str, section: ListenerOptions, listener: HttpListener) -> RenewedFiles:
    ca: Path | None = getattr(section, "client_ca_file", None)

    def context() -> ssl.SSLContext | None:
        return listener_tls(section, name) if ca is None else api_tls(section, ca, name)

    def prepare() -> Take:
        found = context()

        async def take() -> None:
            if found is not None:
                await listener.renew(found)

        return take

    return RenewedFiles(name, (*(section.pair or ()), *(() if ca is None else (ca,))), prepare)


def signers_keys(
    settings: Settings, registry: SignedRegistry, releases: SignedReleases | None
) -> Iterator[RenewedFiles]:
    """The public keys of authors and reviewers: of sets of tools, and of releases of policy."""
    if settings.registry.keys:
        yield _of_signers("registry.keys", settings.registry, registry)
    if settings.release is not None and releases is not None:
        yield _of_signers("release.keys", settings.release, releases)


def _of_signers(
    name: str, options: RegistryOptions | ReleaseOptions, verifier: SignedRegistry | SignedReleases
) -> RenewedFiles:
    def prepare() -> Take:
        found = load_keys(options)

        async def take() -> None:
            verifier.take_keys(found)

        return take

    return RenewedFiles(name, tuple(each.public_key_file for each in options.keys), prepare)
