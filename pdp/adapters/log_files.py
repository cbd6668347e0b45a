"""The signed log over HTTP: the files of `audit.folder`, read-only, by the paths of C2SP tlog-tiles.

On a loopback address. A page that makes a browser ask here by another name (DNS rebinding) is refused by its Host.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from pathlib import Path

from pdp.core.errors import ConfigurationFault

log = logging.getLogger("pdp.log")

_PATH = re.compile(r"/(checkpoint|tile/(?:entries|[0-7])/(?:x\d{3}/){0,6}\d{3}(?P<partial>\.p/\d{1,3})?)", re.ASCII)
_MAX_HEAD = 8_192
_SECONDS = 10.0  # of one exchange
_CONNECTIONS = 64
_PHRASES = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 421: "Misdirected Request"}


class LogFiles:
    """The listener. `start`, then `drain`."""

    def __init__(self, listen: str, folder: Path) -> None:
        host, _, port = listen.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._folder = folder
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """HOST:PORT, with the port that the system chose for port 0."""
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises ConfigurationFault `config.listen`."""
        try:
            self._server = await asyncio.start_server(self._serve, self._host, self._port, limit=_MAX_HEAD)
        except OSError:
            raise ConfigurationFault("config.listen", "audit.listen: cannot be bound; is the port free?") from None
        self._port = self._server.sockets[0].getsockname()[1]
        log.info("log files on %s", self.address)

    async def drain(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request; the connection ends with its answer."""
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with self._slots, asyncio.timeout(_SECONDS):
                writer.write(await self._answer(await reader.readuntil(b"\r\n\r\n")))
                await writer.drain()
        writer.close()

    async def _answer(self, head: bytes) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        method, _, rest = first.partition(" ")
        path, _, version = rest.partition(" ")
        hosts = [line.partition(":")[2].strip() for line in lines if line.lower().startswith("host:")]
        found = _PATH.fullmatch(path)
        if not version.startswith("HTTP/1."):
            return _response(400)
        if hosts not in ([self.address], [f"localhost:{self._port}"]):
            return _response(421)
        if method not in {"GET", "HEAD"}:
            return _response(405)
        if found is None:
            return _response(404)
        try:
            data = await asyncio.to_thread((self._folder / path[1:]).read_bytes)
        except OSError:
            return _response(404)
        is_checkpoint = path == "/checkpoint"
        kind = "text/plain; charset=utf-8" if is_checkpoint else "application/octet-stream"
        kept = "no-store" if is_checkpoint or found["partial"] else "max-age=31536000, immutable"
        return _response(200, data, kind, kept, body=method == "GET")


def _response(
    status: int, data: bytes = b"", kind: str = "text/plain", kept: str = "no-store", *, body: bool = True
) -> bytes:
    head = (
        f"HTTP/1.1 {status} {_PHRASES[status]}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n"
        f"Cache-Control: {kept}\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (data if body else b"")
