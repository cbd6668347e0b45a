"""Connections that a dialler's process makes."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack

import pytest

from pdp.judge.dialler import Dialler

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has means to isolate a process")

MANY = 400  # fewer than 300 questions or answers fit into a pair of sockets


async def test_all_of_many_connections_at_once_arrive() -> None:
    made, every = list[asyncio.StreamWriter](), asyncio.Event()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(writer)
        if len(made) == MANY:
            every.set()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=MANY)
    dialler = Dialler.start(*server.sockets[0].getsockname())
    with ExitStack() as sockets:
        async with server, asyncio.timeout(60):
            dialling = [asyncio.ensure_future(dialler.dial()) for _ in range(MANY)]
            await every.wait()  # and none of its answers has been read
            dialler.begin()
            for each in await asyncio.gather(*dialling):
                sockets.enter_context(each)
        for writer in made:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in made))
    dialler.close()
    await asyncio.to_thread(dialler._process.wait)
