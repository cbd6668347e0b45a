"""A witness over HTTP (C2SP tlog-witness): `add-checkpoint`, and nothing else.

It may listen anywhere: a request needs a checkpoint with the log's own signature, and learns a size.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from typing_extensions import override

from pdp.host.http_listener import HttpCall, HttpListener, HttpReply

_PATH = "/add-checkpoint"

Add = Callable[[bytes], tuple[int, str, str]]  # a request's body to status, body and content type


class WitnessListener(HttpListener):
    """The listener of a witness. `add` blocks until the checkpoint is on the disk."""

    def __init__(self, listen: str, add: Add, *, max_body: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(listen, "--listen", max_body=max_body, tls=tls, said="witness")
        self._add = add

    @override
    async def answer(self, call: HttpCall) -> HttpReply:
        if call.target != _PATH:
            return HttpReply(404)
        if call.method != "POST":
            return HttpReply(405)
        status, text, kind = await asyncio.to_thread(self._add, call.body)
        return HttpReply(status, text.encode(), kind)
