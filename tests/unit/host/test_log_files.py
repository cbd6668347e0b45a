"""The log over HTTP: the files that tlog-tiles names, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pdp.core.errors import ConfigurationFault
from pdp.host.log_files import LogFiles


@pytest.fixture
async def files(tmp_path: Path) -> AsyncIterator[LogFiles]:
    for path, data in (
        ("checkpoint", b"note"),
        ("tile/0/x001/234", b"full"),
        ("tile/entries/000.p/7", b"part"),
        ("secret", b"no"),
        ("tile/0/.001.new", b"no"),
    ):
        place = tmp_path / "log" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    (tmp_path / "log.pem").write_bytes(b"no")
    listener = LogFiles("127.0.0.1:0", tmp_path / "log")
    await listener.start()
    yield listener
    await listener.drain()


async def exchange(files: LogFiles, request: str) -> tuple[int, str, bytes]:
    host, _, port = files.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request.replace("HOST", files.address).encode("latin-1"))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), head.decode(), body


def get(path: str, method: str = "GET", host: str = "HOST") -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("path", "body", "kind", "kept"),
    [
        ("/checkpoint", b"note", "text/plain; charset=utf-8", "no-store"),
        ("/tile/0/x001/234", b"full", "application/octet-stream", "max-age=31536000, immutable"),
        ("/tile/entries/000.p/7", b"part", "application/octet-stream", "no-store"),
    ],
)
async def test_files_of_the_log(files: LogFiles, path: str, body: bytes, kind: str, kept: str) -> None:
    status, head, found = await exchange(files, get(path))
    assert (status, found) == (200, body)
    assert f"Content-Type: {kind}\r\n" in head
    assert f"Cache-Control: {kept}\r\n" in head
    assert (await exchange(files, get(path, "HEAD")))[2] == b""


@pytest.mark.parametrize(
    "path",
    [
        "/", "/secret", "/../log.pem", "/tile/../../log.pem", "/tile/0/.001.new", "/tile/0/000", "/tile/0/%2e%2e/x",
        "/tile/0/x001/234/", "/tile/0/x001/234?a", "/tile/9/000", "//checkpoint",
    ],
)  # fmt: skip
async def test_nothing_else_is_there(files: LogFiles, path: str) -> None:
    assert (await exchange(files, get(path)))[0::2] == (404, b"")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (get("/checkpoint", "POST"), 405),
        (get("/checkpoint", host="evil.example"), 421),
        ("GET /checkpoint HTTP/1.0\r\n\r\n", 421),
        ("GET /checkpoint HTTP/1.1\r\n\r\n", 400),
        ("GET /checkpoint HTTP/1.1\r\nHost: HOST\r\nHost: evil.example\r\n\r\n", 400),
        ("GET /checkpoint\r\n\r\n", 400),
        (get("/tile/0/\xb2\xb2\xb2"), 400),
        ("GET /checkpoint HTTP/1.1\r\nHost: HOST\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 413),
    ],
)
async def test_what_is_refused(files: LogFiles, request_text: str, status: int) -> None:
    assert (await exchange(files, request_text))[0] == status


async def test_a_head_without_end_is_refused(files: LogFiles) -> None:
    host, _, port = files.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /checkpoint HTTP/1.1\r\nX: " + b"x" * 50_000)
    assert (await reader.readline()).split()[1] == b"431"
    writer.close()


async def test_a_port_that_is_taken_is_said(files: LogFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"audit\.listen"):
        await LogFiles(files.address, tmp_path).start()
