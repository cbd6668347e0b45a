"""Witnesses of a signed log: real ones behind real listeners, told what to answer, and a log that asks them."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.signed_log import KEY
from support.stored import AT

from pdp.proof.cosignature import WitnessPolicy
from pdp.proof.cosigners import Cosigners
from pdp.proof.note import LogKey
from pdp.proof.publisher import Publisher
from pdp.proof.tiles import LogFolder
from pdp.proof.witness import MAX_BODY, Witness
from pdp.proof.witness_listener import WitnessListener
from pdp.store.opening import AnyStore

FRESH = 3600  # seconds that a cosignature counts


class Watching:
    """A witness that listens. `says` overrides its answers."""

    def __init__(self, witness: Witness) -> None:
        self.witness = witness
        self.listener = WitnessListener("127.0.0.1:0", self.answer, max_body=MAX_BODY, tls=None)
        self.says: tuple[int, str, str] | None = None
        self.asked = 0

    @property
    def vkey(self) -> str:
        return self.witness.verifier.text()

    def line(self, name: str) -> str:
        return f"witness {name} {self.vkey} http://{self.listener.address}\n"

    def answer(self, body: bytes) -> tuple[int, str, str]:
        self.asked += 1
        if self.says is not None:
            return self.says
        made = self.witness.add(body)
        return made.status, made.body, made.kind


@asynccontextmanager
async def watching(
    folder: Path, origin: str, n: int = 1, seconds: Callable[[], float] = time.time
) -> AsyncIterator[Watching]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32)
    witness = Witness(folder, f"w.example/{n}", key, [LogKey(origin, KEY.public_key())], seconds)
    found = Watching(witness)
    await found.listener.start()
    try:
        yield found
    finally:
        await found.listener.drain()
        found.witness.close()


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
