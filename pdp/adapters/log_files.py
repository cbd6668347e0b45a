"""The signed log over HTTP: the files of `audit.folder`, read-only, by the paths of C2SP tlog-tiles.

On a loopback address. A page that makes a browser ask here by another name (DNS rebinding) is refused by its Host.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from typing_extensions import override

from pdp.adapters.http_listener import HttpListener, response

_PATH = re.compile(r"/(checkpoint|tile/(?:entries|[0-7])/(?:x\d{3}/){0,6}\d{3}(?P<partial>\.p/\d{1,3})?)", re.ASCII)


class LogFiles(HttpListener):
    """The listener of a log's files."""

    def __init__(self, listen: str, folder: Path) -> None:
        super().__init__(listen, "audit.listen", said="log files")
        self._folder = folder

    @override
    async def answer(self, method: str, path: str, hosts: list[str], body: bytes) -> bytes:
        found = _PATH.fullmatch(path)
        if hosts not in ([self.address], [f"localhost:{self._port}"]):
            return response(421)
        if method not in {"GET", "HEAD"}:
            return response(405)
        if found is None:
            return response(404)
        try:
            data = await asyncio.to_thread((self._folder / path[1:]).read_bytes)
        except OSError:
            return response(404)
        is_checkpoint = path == "/checkpoint"
        kind = "text/plain; charset=utf-8" if is_checkpoint else "application/octet-stream"
        kept = "no-store" if is_checkpoint or found["partial"] else "max-age=31536000, immutable"
        return response(200, data, kind, kept, body=method == "GET")
