"""The process that follows the log, beside a server: whatever ends it, it is there again, and nothing of the log is
lost; where it cannot be there, decisions go on."""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from served import ALLOW, Asking, ask, make_world, spawned, stored, until
from support.consumers import following, in_process
from support.environment import Stage, StillClock
from support.waiting import until as soon
from support.world import WEDNESDAY_NS, Plan, answered, create, serving
from test_channels_served import in_a_thread
from test_pushes_served import KEY, pushed

from devtools.sandbox import ALICE
from pdp.host.child import Child
from pdp.proof.note import LogKey, read_private
from pdp.proof.tiles import LogFolder
from pdp.proof.verification import read_checkpoint, verify_folder
from pdp.runtime import log_process
from pdp.v1 import audit_pb2, audit_pb2_grpc

AWAY = "log.process"


def follower(pid: int) -> int:
    """The process id of the follower of that server; 0 while there is none."""
    for child in children(pid):
        if b"pdp.runtime.consumers" in command(child):
            return child
    return 0


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(each) for path in found for each in path.read_text().split()]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def covered(server: Asking) -> bool:
    """Whether the checkpoint in the folder covers all that is stored."""
    note = LogFolder(server.world.folder / "store/log").checkpoint()
    return bool(note) and int(note.split("\n")[1]) == len(stored(server.world))


def verified(server: Asking) -> int:
    """How many records the folder proves; each of them is as in the store."""
    folder = server.world.folder / "store"
    origin = LogFolder(folder / "log").checkpoint().split("\n")[0]
    key = LogKey(origin, read_private((folder / "log.pem").read_bytes()).public_key())
    head = read_checkpoint(folder / "log", (key,))
    verify_folder(folder / "log", head, (), lambda _: None)
    return head.size


def found(server: Asking) -> int:
    """How many decisions a search finds."""
    stub = audit_pb2_grpc.AuditServiceStub(server.channel())
    request, seen = audit_pb2.SearchRecordsRequest(kinds=["decision"], page_size=100), 0
    while True:
        page = server.call(stub.SearchRecords, request, "auditor")
        seen += len(page.records)
        if not page.next_page_token:
            return seen
        request.page_token = page.next_page_token


@contextmanager
def asked_all_the_time(server: Asking) -> Iterator[list[Any]]:
    """Decisions in a thread of their own."""
    stop, effects = threading.Event(), list[Any]()

    def work() -> None:
        while not stop.is_set():
            effects.append(server.decide().effect)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield effects
    finally:
        stop.set()
        thread.join()


def test_a_follower_that_is_killed_again_and_again_misses_nothing(tmp_path: Path) -> None:
    secret = tmp_path / "hook.key"
    secret.write_text(KEY)
    secret.chmod(0o600)
    drawn = random.Random(49)
    with in_a_thread() as receiver:
        hook = {
            "kind": "webhook",
            "url": f"http://127.0.0.1:{receiver.port}/in",
            "secrets": [f"file:{secret}"],
            "allow_internal": True,
            "from_start": True,
        }
        world = make_world(tmp_path / "w", {"audit": {"push": {"siem": hook}}})
        with spawned(world) as server:
            with asked_all_the_time(server) as effects:
                for _ in range(4):
                    before = until(lambda: follower(server.pid))
                    until(lambda: LogFolder(world.folder / "store/log").checkpoint())
                    asked = len(effects) + drawn.randint(1, 60)  # somewhere in its second
                    until(lambda n=asked: len(effects) > n)
                    os.kill(before, signal.SIGKILL)
                    until(lambda n=before: follower(server.pid) not in (0, n))
            assert set(effects) == {ALLOW}
            until(lambda: covered(server))
            until(lambda: not server.status().store.HasField("log_process"))
            assert found(server) == len(effects)
            until(lambda: len(pushed(receiver)) == len(stored(world)))
            assert list(pushed(receiver)) == list(range(len(stored(world))))
            request = ask(bearer=server.alice())
            request.wait_receipt = True
            assert server.decide(request).HasField("receipt")
            said = server.log
            assert server.stop() == 0
        assert verified(server) == len(stored(world))
    assert "log process: log.process" in said


def test_it_ends_with_the_server(tmp_path: Path) -> None:
    world = make_world(tmp_path / "w")
    for end in (signal.SIGKILL, signal.SIGTERM):
        with spawned(world) as server:
            pid = follower(server.pid)
            server.decide()
            os.kill(server.pid, end)
            server.wait()
            until(lambda n=pid: b"pdp.runtime.consumers" not in command(n), seconds=20)
    assert verified(server) == len(stored(world))


def test_it_alone_has_the_key(tmp_path: Path) -> None:
    """Of all memory that the server may write to."""
    key, file = Ed25519PrivateKey.generate(), tmp_path / "log.pem"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(pem := key.private_bytes(*plain))
    file.chmod(0o600)
    world = make_world(tmp_path / "w", {"audit": {"key": f"file:{file}", "folder": str(tmp_path / "log")}})
    with spawned(world) as server:
        server.decide()
        until(lambda: LogFolder(tmp_path / "log").checkpoint())
        pem_line = pem.splitlines()[1]
        for pid, there in ((server.pid, False), (follower(server.pid), True)):
            held = memory(pid)
            assert any(each in held for each in (key.private_bytes_raw(), pem_line)) == there, there


def memory(pid: int) -> bytes:
    found = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as file:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                first, end = (int(each, 16) for each in span.split("-"))
                file.seek(first)
                try:
                    found.append(file.read(end - first))
                except OSError:  # of the kernel
                    continue
    return b"".join(found)


async def test_decisions_go_on_where_it_does_not_start_and_the_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there at the start, and cannot be started any more for a while."""
    made, stage = create(tmp_path / "w", Plan(), WEDNESDAY_NS), Stage(StillClock(WEDNESDAY_NS))
    able, started = True, list[Child]()

    async def start(theirs: socket.socket) -> Child:
        if not able:
            raise OSError(12, "Cannot allocate memory")
        started.append(await in_process(theirs))
        return started[-1]

    monkeypatch.setattr(log_process, "_BACKOFF_SECONDS", (0.01,))
    environment = replace(stage.environment(), consumers=start)
    async with serving(made, Plan(), stage, environment=environment) as world:
        process = world.process
        async with following(process):
            await soon(lambda: not process.log.problem)
            able = False
            started[-1].kill()
            await soon(lambda: process.log.problem == AWAY)
            assert (await answered(world, world.ask(ALICE, "git_status"))).effect == ALLOW
            assert (await process.admin.status()).log_problem == AWAY
            assert process.background.parts
            assert all(part.ready() for part in process.background.parts)
            able = True
            assert process.signed is not None
            head = await process.signed.covering(process.store.size() - 1)
            assert (head.size, process.log.problem) == (process.store.size(), "")


async def test_one_that_hangs_is_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, stage = create(tmp_path / "w", Plan(), WEDNESDAY_NS), Stage(StillClock(WEDNESDAY_NS))
    monkeypatch.setattr(log_process, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(log_process, "END_SECONDS", 0.1)
    environment = replace(stage.environment(), consumers=None)
    async with serving(made, Plan(), stage, environment=environment) as world, following(world.process):
        first = await soon(lambda: not world.process.log.problem and follower(os.getpid()))
        os.kill(first, signal.SIGSTOP)
        await soon(lambda: follower(os.getpid()) not in (0, first))
        await soon(lambda: not world.process.log.problem)
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)


async def test_a_database_that_is_another_one_is_not_consumed(tmp_path: Path) -> None:
    made, stage = create(tmp_path / "w", Plan(), WEDNESDAY_NS), Stage(StillClock(WEDNESDAY_NS))
    async with serving(made, Plan(), stage) as world, following(world.process):
        process = world.process
        await soon(lambda: not process.log.problem)
        size, leaf = process.store.last()
        process.store.last = lambda: (size + 1, leaf)  # type: ignore[method-assign] # as if it wrote one elsewhere
        await soon(lambda: process.log.problem == "store.unreadable")
        del process.store.last
        await soon(lambda: not process.log.problem)
