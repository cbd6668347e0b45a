"""Witnesses of a signed log that answer what a test wants, and a log that asks them."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support import c2sp
from support.signed_log import KEY
from support.stored import AT
from typing_extensions import override

from pdp.host.http_listener import HttpCall, HttpListener, HttpReply
from pdp.proof.cosignature import WitnessKey, WitnessPolicy
from pdp.proof.cosigners import Cosigners
from pdp.proof.merkle import EMPTY
from pdp.proof.note import Checkpoint, LogKey, line, opened, split
from pdp.proof.publisher import Publisher
from pdp.proof.tiles import LogFolder
from pdp.store.opening import AnyStore

FRESH = 3600  # seconds that a cosignature counts


def cosign(text: str, name: str, key: Ed25519PrivateKey, at: int) -> str:
    """The signature line of a witness under a checkpoint's text, at Unix seconds (C2SP tlog-cosignature)."""
    signature = key.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
    return line(name, WitnessKey(name, key.public_key()).id + at.to_bytes(8) + signature)


class Witness(HttpListener):
    """A witness that listens (C2SP tlog-witness) and forgets when it ends. `seen` is the last checkpoint that it
    cosigned; `says` overrides its answers, whose statuses are `statuses`."""

    def __init__(self, name: str, key: Ed25519PrivateKey, log: LogKey, seconds: Callable[[], float]) -> None:
        super().__init__("127.0.0.1:0", "listen", max_body=1 << 14, tls=None, said="witness")
        self._name, self._key, self._log, self._seconds = name, key, log, seconds
        self.seen = Checkpoint(log.name, 0, EMPTY)
        self.says: tuple[int, str, str] | None = None
        self.statuses: list[int] = []

    @property
    def vkey(self) -> str:
        return WitnessKey(self._name, self._key.public_key()).text()

    def line(self, name: str) -> str:
        return f"witness {name} {self.vkey} http://{self.address}\n"

    @override
    async def answer(self, call: HttpCall) -> HttpReply:
        assert (call.method, call.target) == ("POST", "/add-checkpoint")
        status, text, kind = self.says or self._add(call.body.decode())
        self.statuses.append(status)
        return HttpReply(status, text.encode(), kind)

    def _add(self, body: str) -> tuple[int, str, str]:
        head, _, note = body.partition("\n\n")
        first, *lines = head.split("\n")
        old, new = int(first.removeprefix("old ")), opened(note, [self._log])
        if old != self.seen.size:
            return 409, f"{self.seen.size}\n", "text/x.tlog.size"
        if old:
            try:
                proof = [base64.b64decode(each) for each in lines]
                c2sp.verify_growth((old, self.seen.root), (new.size, new.root), proof)
            except c2sp.Rejected:
                return 422, "", "text/plain"
        self.seen = new
        return 200, cosign(split(note)[0], self._name, self._key, int(self._seconds())), "text/plain"


@asynccontextmanager
async def watching(origin: str, n: int = 1, seconds: Callable[[], float] = time.time) -> AsyncIterator[Witness]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
    witness = Witness(f"w.example/{n}", key, LogKey(origin, KEY.public_key()), seconds)
    await witness.start()
    try:
        yield witness
    finally:
        await witness.drain()


def cosigning(
    store: AnyStore,
    folder: Path,
    policy: str,
    *,
    now_ns: Callable[[], int] = lambda: AT,
    seconds: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Publisher:
    """A log that asks the witnesses of `policy`, which have all the time they need."""
    asked = Cosigners(
        WitnessPolicy.read(policy),
        FRESH,
        ssl.create_default_context(),
        within=60.0,
        seconds=seconds,
        monotonic=monotonic,
    )
    return Publisher(store, LogFolder(folder), KEY, cosigners=asked, now_ns=now_ns)
