"""A listener that cannot take other TLS files goes on with the former ones."""

import os
import resource
import socket
import ssl
from contextlib import suppress

import httpx
import pytest

from pdp.core.errors import ConfigurationFault
from pdp.host.http_listener import HttpCall, HttpListener, HttpReply


class Greets(HttpListener):
    async def answer(self, call: HttpCall) -> HttpReply:
        assert call.method == "GET"
        return HttpReply(200, b"hello")


async def greeted(listener: Greets) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://{listener.address}/")).text == "hello"


async def test_without_a_descriptor_to_spare_the_former_files_stay() -> None:
    listener = Greets("127.0.0.1:0", "hooks.listen")
    await listener.start()
    assert await greeted(listener)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    filling = list[socket.socket]()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with suppress(OSError):
            while True:
                filling.append(socket.socket())
        with pytest.raises(ConfigurationFault, match="cannot take other TLS files now") as refused:
            await listener.renew(ssl.create_default_context(ssl.Purpose.CLIENT_AUTH))
    finally:
        for each in filling:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert refused.value.code == "config.listen"
    assert await greeted(listener)
    await listener.drain()
