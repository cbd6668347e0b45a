"""The listener itself: it binds, streams, and stops."""

import asyncio
import json
import socket
from types import SimpleNamespace

import httpx
import pytest
from support.desk import BASE, KEY, OURS, Desk, opened

from pdp.adapters.console.options import ConsoleOptions
from pdp.adapters.console.server import ConsoleServer
from pdp.core.errors import ConfigurationFault


def server(desk: Desk, port: int = 0, **options: object) -> ConsoleServer:
    wanted = {**BASE, "listen": f"127.0.0.1:{port}", "drain_seconds": 1, **options}
    return ConsoleServer(ConsoleOptions.model_validate(wanted), desk.parts, key=KEY, secrets={}, production=False)


HOST = {"host": "approvals.acme.example"}


async def test_it_serves_where_it_says_and_drains_with_streams_open(desk: Desk) -> None:
    view = SimpleNamespace(approval=SimpleNamespace(id="0199-new"))
    desk.services.changes = [(view, "7")]
    made = server(desk)
    await made.start()
    url = f"http://{made.address}"
    async with httpx.AsyncClient(headers=HOST, timeout=10) as client:
        answer = await client.post(f"{url}/signin/development", data={"account": "bob"}, headers=OURS)
        assert answer.status_code == 200
        assert "server" not in answer.headers
        cookie = answer.headers["set-cookie"].partition(";")[0]
        async with client.stream("GET", f"{url}/events", headers={"cookie": cookie}) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            assert stream.headers["cache-control"] == "no-store"
            lines = stream.aiter_lines()
            told = {}
            while "data" not in told:
                name, _, value = (await anext(lines)).partition(": ")
                told[name] = value
            assert (told["event"], told["id"], json.loads(told["data"])) == ("changed", "7", {"id": "0199-new"})
            draining = asyncio.create_task(made.drain())
            assert [line async for line in lines if line.strip(": alive")] == []  # it ends
            await draining
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(made.address.rpartition(":")[2])))


async def test_a_port_that_is_taken_is_said(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationFault) as caught:
            await server(desk, taken.getsockname()[1]).start()
    assert caught.value.code == "config.listen"


async def test_what_was_never_started_drains_too(desk: Desk) -> None:
    await server(desk).drain()


async def test_streams_are_bounded_and_for_who_is_signed_in() -> None:
    async with opened(max_streams=0) as desk:
        assert (await desk.client.get("/events")).status_code == 303
        await desk.sign_in()
        assert (await desk.client.get("/events")).status_code == 429
