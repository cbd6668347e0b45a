"""`pdp audit witness` as a process of its own, killed and asked, and a server whose log it cosigns."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from served import ALLOW, clean_environment, make_world, pdp, spawned, until
from support import c2sp
from support.profiles import profile

from pdp.core.check import NS
from pdp.proof import merkle
from pdp.proof.note import Checkpoint, LogKey, sign
from pdp.proof.witness import Submission

ORIGIN = "example.com/log"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PAGE = (Path(__file__).parents[2] / "docs/witness.md").read_text()


def write_key(path: Path, key: Ed25519PrivateKey) -> None:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form))
    path.chmod(0o600)


class Running:
    """A witness process. `line` is what it prints for policies."""

    def __init__(self, arguments: Sequence[str]) -> None:
        command = [sys.executable, "-m", "pdp.cli.main", "audit", "witness", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment())
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline().strip()
        assert self.line, "it did not start"
        self.vkey, self.url = self.line.split(" ")[2:]

    def end(self, number: int = signal.SIGTERM) -> int:
        os.kill(self.process.pid, number)
        code = self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@contextmanager
def running(folder: Path, vkey: str, listen: str = "127.0.0.1:0") -> Iterator[Running]:
    pem = folder / "witness.pem"
    if not pem.exists():
        write_key(pem, Ed25519PrivateKey.generate())
    words = [
        str(folder / "state"),
        "--name",
        "witness.example/1",
        "--key",
        str(pem),
        "--log",
        vkey,
        "--listen",
        listen,
    ]
    found = Running(words)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.end()


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint of one of two logs that part at record 8, with its cosignature."""

    size: int
    fork: int
    note: str


class Asking:
    """Asks a witness to cosign, of either log, sizes around the last; until it is gone or `stop`."""

    def __init__(self) -> None:
        self.cosigned: list[Cosigned] = []
        self.stop = threading.Event()
        self._size = 0
        self._draw = random.Random(20261121)
        self._trees = [[c2sp.leaf_hash(b"%d %d" % (n, n >= 8 and fork)) for n in range(400)] for fork in (0, 1)]

    def run(self, url: str) -> None:
        with httpx.Client(trust_env=False) as client, suppress(httpx.HTTPError):
            while not self.stop.is_set():
                self._ask(client, f"{url}/add-checkpoint")

    def _ask(self, client: httpx.Client, url: str) -> None:
        fork, new = self._draw.randrange(2), min(max(self._size + self._draw.randrange(-1, 3), 0), 399)
        tree = self._trees[fork]
        head = Checkpoint(ORIGIN, new, c2sp.tree_hash(tree[:new]))
        proof = merkle.consistency(self._size, new, node_of(tree)) if 0 < self._size <= new else ()
        answer = client.post(url, content=Submission(self._size, proof, sign(head, KEY), head).text())
        if answer.status_code == 200:
            self.cosigned.append(Cosigned(new, fork, sign(head, KEY) + answer.text))
            self._size = new
        elif answer.status_code == 409:
            self._size = int(answer.text)


def node_of(tree: Sequence[bytes]) -> merkle.Node:
    return lambda level, index: c2sp.tree_hash(tree[index << level : (index + 1) << level])


def test_a_witness_that_is_killed_never_goes_back(tmp_path: Path) -> None:
    """Six kills while two logs by one key ask in turn: what was cosigned is one log that grows."""
    draw, asking = random.Random(14), Asking()
    vkey = LogKey(ORIGIN, KEY.public_key()).text()
    for round_ in range(6):
        with running(tmp_path, vkey) as witness:
            enough = len(asking.cosigned) + draw.randint(3, 25)
            thread = threading.Thread(target=asking.run, args=(witness.url,))
            thread.start()
            until(lambda enough=enough: len(asking.cosigned) >= enough)
            assert witness.end(signal.SIGKILL if round_ < 5 else signal.SIGTERM) in {-signal.SIGKILL, 0}
            asking.stop.set()
            thread.join()
            asking.stop.clear()
    sizes = [each.size for each in asking.cosigned]
    assert len(sizes) > 20
    assert sizes == sorted(sizes)
    assert len({each.fork for each in asking.cosigned if each.size > 8}) == 1
    for each in asking.cosigned:
        c2sp.cosigned_at(each.note.encode(), witness.vkey)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (("GET", "/add-checkpoint", ""), 405),
        (("POST", "/", ""), 404),
        (("POST", "/add-checkpoint", "x" * 70_000), 413),
        (("POST", "/add-checkpoint", ""), 400),
    ],
)
def test_what_it_refuses(tmp_path: Path, request_: tuple[str, str, str], status: int) -> None:
    method, path, body = request_
    vkey = LogKey(ORIGIN, KEY.public_key()).text()
    with running(tmp_path, vkey) as witness:
        words = ("--name", "w", "--key", str(tmp_path / "witness.pem"), "--log", vkey)
        second = pdp("audit", "witness", str(tmp_path / "state"), *words)
        assert (second.returncode, second.stderr.startswith("witness.locked")) == (1, True)
        assert httpx.request(method, witness.url + path, content=body, trust_env=False).status_code == status
        assert httpx.post(f"{witness.url}/add-checkpoint", content=iter([b"x"]), trust_env=False).status_code == 400


def test_a_log_is_cosigned_verified_and_not_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page, from the witness's key to a store and folder that both were put back."""
    monkeypatch.chdir(tmp_path)
    audit = {"folder": str(tmp_path / "log"), "key": f"file:{tmp_path / 'log.pem'}", "witnesses": str(tmp_path / "p")}
    world = make_world(tmp_path / "w", {"audit": audit, "store": {"origin": ORIGIN}})
    write_key(tmp_path / "log.pem", KEY)
    log = LogKey(ORIGIN, KEY.public_key()).text()
    with running(tmp_path, log) as witness:
        name = witness.line.split(" ")[1]
        quorum = f"group enough any {name}\nquorum enough\n"
        (tmp_path / "p").write_text(f"log {log}\n{witness.line}\n{quorum}")
        printed = pdp("audit", "key", "witness.pem", "witness.example/1", "--witness").stdout.strip()
        assert printed == witness.vkey
        with spawned(world) as server:
            answer = server.decide()
            assert answer.effect == ALLOW
            (tmp_path / "t").write_text(world.caller_token("auditor", server.now()))

            def cosigned() -> bool:
                note = (tmp_path / "log/checkpoint").read_bytes() if (tmp_path / "log/checkpoint").exists() else b""
                return note != b"" and int(note.split(b"\n")[1]) > answer.record.index and b"witness.example" in note

            until(cosigned)
            reach = profile(tmp_path, target=world.socket, caller_token_file="t")
            made = pdp("audit", "prove", answer.decision_id, *reach)
            assert made.returncode == 0, made.stderr
            server.stop()
        c2sp.cosigned_at((tmp_path / "log/checkpoint").read_bytes(), witness.vkey)
        c2sp.cosigned_at(Path(f"{answer.decision_id}.tlog-proof").read_bytes().partition(b"\n\n")[2], witness.vkey)
        commands = re.findall(r"^    \$ pdp (audit verify .*)$", PAGE, re.MULTILINE)
        assert len(commands) == 2
        for line in commands:
            shown = line.replace("var/demo/log", "log").replace("witnesses.policy", "p")
            done = pdp(*shown.replace("DECISION_ID", answer.decision_id).split())
            assert (done.returncode, done.stdout.strip().endswith(f"cosigned by {name}")) == (0, True), done.stderr
            uncosigned = (
                tmp_path / "log/checkpoint" if "verify log " in shown else Path(f"{answer.decision_id}.tlog-proof")
            )
            kept = uncosigned.read_text()
            uncosigned.write_text("".join(re.split(r"(?m)^\N{EM DASH} witness.*\n", kept)))
            done = pdp(*shown.replace("DECISION_ID", answer.decision_id).split())
            assert (done.returncode, "log.witness" in done.stderr) == (10, True)
            uncosigned.write_text(kept)

        shutil.copytree(tmp_path / "w/store", tmp_path / "older/store")
        shutil.copytree(tmp_path / "log", tmp_path / "older/log")
        size = int((tmp_path / "log/checkpoint").read_text().split("\n")[1])
        with spawned(world) as server:
            server.decide()
            until(lambda: int((tmp_path / "log/checkpoint").read_text().split("\n")[1]) > size + 1)
            server.stop()
        seen = httpx.post(f"{witness.url}/add-checkpoint", content=empty(), trust_env=False).text
        for name in ("w/store", "log"):
            shutil.rmtree(tmp_path / name)
            shutil.copytree(tmp_path / "older" / Path(name).name, tmp_path / name)
        with spawned(world, wait=False) as server:
            assert server.wait() == 1
            assert (
                f"store.rollback: witnesses have cosigned more records ({quorum.split()[3]} {seen.strip()})"
                in server.log
            )


def test_a_quorum_that_goes_missing_and_comes_back_is_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A witness that is ended and started again, and a server that is, too, while there is none."""
    monkeypatch.chdir(tmp_path)
    audit = {"folder": str(tmp_path / "log"), "key": f"file:{tmp_path / 'log.pem'}", "witnesses": str(tmp_path / "p")}
    world = make_world(tmp_path / "w", {"audit": {**audit, "witness_seconds": 10}, "store": {"origin": ORIGIN}})
    write_key(tmp_path / "log.pem", KEY)
    log = LogKey(ORIGIN, KEY.public_key()).text()

    def said() -> list[str]:
        return [record["quorum"] for record in server.records("witnesses")]

    with running(tmp_path, log) as witness:
        address = witness.url.removeprefix("http://")
        (tmp_path / "p").write_text(f"log {log}\n{witness.line}\nquorum {witness.line.split(' ')[1]}\n")
        with spawned(world) as server:
            server.decide()
            until(lambda: b"witness.example" in checkpoint(tmp_path / "log"))
            assert said() == []
            witness.end()
            server.decide()
            until(lambda: said() == ["missing"])
            server.stop()
        with spawned(world) as server:
            answer = server.decide()
            until(lambda: int(checkpoint(tmp_path / "log").split(b"\n")[1]) > answer.record.index)
            assert said() == ["missing"]
            with running(tmp_path, log, address) as again:
                assert again.url == witness.url
                until(lambda: said() == ["missing", "back"])
            (missing, back), name = server.records("witnesses"), witness.line.split(" ")[1]
            assert (missing["lacks"]["items"], back["lacks"]["items"]) == ([name], [])
            assert missing["since_ns"] == back["since_ns"] <= missing["time_ns"] - 10 * NS
            (tmp_path / "t").write_text(world.caller_token("auditor", server.now()))
            words = ("--kind", "witnesses", *profile(tmp_path, target=world.socket, caller_token_file="t"))
            found = pdp("audit", "search", *words, "--records")
            newest = [json.loads(line)["quorum"] for line in found.stdout.splitlines()]
            assert newest == ["back", "missing"], found.stderr
            server.stop()
        shown = pdp("audit", "show", back["id"], str(tmp_path / "w/store"))
        assert (shown.returncode, json.loads(shown.stdout)["quorum"]) == (0, "back"), shown.stderr


def checkpoint(folder: Path) -> bytes:
    path = folder / "checkpoint"
    return path.read_bytes() if path.exists() else b"\n-1\n"


def empty() -> str:
    head = Checkpoint(ORIGIN, 0, merkle.EMPTY)
    return Submission(0, (), sign(head, KEY), head).text()
