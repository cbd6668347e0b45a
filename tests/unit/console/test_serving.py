"""The listener itself: it binds, streams, and stops."""

import asyncio
import datetime as dt
import ipaddress
import json
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.desk import BASE, KEY, OURS, Desk, Forms, opened

from pdp.adapters.console import events
from pdp.adapters.console.options import ConsoleOptions
from pdp.adapters.console.server import ConsoleServer
from pdp.core.errors import ConfigurationFault


def server(desk: Desk, port: int = 0, **options: object) -> ConsoleServer:
    wanted = {**BASE, "listen": f"127.0.0.1:{port}", "drain_seconds": 1, **options}
    return ConsoleServer(ConsoleOptions.model_validate(wanted), desk.parts, key=KEY, secrets={}, production=False)


HERE = ipaddress.ip_address("127.0.0.1")
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


@pytest.mark.parametrize("end", ["signed out", "time is over"])
async def test_a_stream_ends_with_its_session(desk: Desk, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(events, "_ALIVE_SECONDS", 0.05)
    made = server(desk)
    await made.start()
    url = f"http://{made.address}"
    async with httpx.AsyncClient(headers=HOST, timeout=10) as client:
        answer = await client.post(f"{url}/signin/development", data={"account": "bob"}, headers=OURS)
        signed_in = {"cookie": answer.headers["set-cookie"].partition(";")[0]}
        async with client.stream("GET", f"{url}/events", headers=signed_in) as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 5000"
            if end == "signed out":
                page = await client.get(f"{url}/me", headers=signed_in)
                form = Forms(page.text).of["/signout"]
                gone = await client.post(f"{url}/signout", data=form, headers={**OURS, **signed_in})
                assert gone.status_code == 303
            else:
                desk.clock.pass_minutes(61)
            async with asyncio.timeout(5):
                assert {line async for line in lines} <= {"", ": alive"}
    await made.drain()


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


async def test_it_speaks_tls_itself(desk: Desk, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - dt.timedelta(1), now + dt.timedelta(1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (tmp_path / "c.pem").write_bytes(certificate.public_bytes(pem))
    plain = serialization.NoEncryption()
    (tmp_path / "k.pem").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files = {"certificate_file": str(tmp_path / "c.pem"), "key_file": str(tmp_path / "k.pem")}
    made = server(desk, tls=files, behind_proxy=False)
    await made.start()
    context = ssl.create_default_context(cafile=tmp_path / "c.pem")
    async with httpx.AsyncClient(headers=HOST, verify=context) as client:
        answer = await client.get(f"https://{made.address}/signin")
        assert answer.status_code == 200
        with pytest.raises(httpx.HTTPError):
            await client.get(f"http://{made.address}/signin")
    await made.drain()
