"""The server's end of one policy worker: one batch in flight, its answers checked, its progress readable.

Nothing here decides who is blamed or what is tried again; that is the pool's.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Protocol

from typing_extensions import override

from pdp.core.decide import Question
from pdp.core.errors import EngineFault
from pdp.policy.embedded import wire
from pdp.policy.embedded.progress import Progress


@dataclass(slots=True, eq=False)
class Item:
    """One question on its way. `since` is in seconds of the loop's clock."""

    nonce: int
    asked: Question
    since: float
    answer: asyncio.Future[bytes]
    attempts: int = 0

    def fail(self, fault: tuple[str, str], detail: str = "") -> None:
        """Raise EngineFault to whoever waits, if anyone still does."""
        if not self.answer.done():
            self.answer.set_exception(EngineFault(*fault, detail=detail))


@dataclass(slots=True)
class Flight:
    """A batch in flight; `answered` of its items, from the first on, are answered."""

    sequence: int
    items: list[Item]
    sent: float
    answered: int = 0


class MismatchError(Exception):
    """The worker answered something else than what it was asked, or speaks another protocol."""


class Owner(Protocol):
    """Whom a link reports to."""

    def came_up(self, link: Link) -> None:
        """The worker said hello, with the right bundle."""

    def answered(self, link: Link, settled: list[tuple[Item, wire.Reply]]) -> None:
        """Answers have come; the batch is over if `link.flight` is None."""

    def mismatched(self, link: Link) -> None:
        """The worker cannot be believed."""

    def lost(self, link: Link) -> None:
        """The worker is dead; called once."""


@dataclass(slots=True, eq=False)
class Link(asyncio.Protocol):
    """A connection to worker `ident`, which must answer by the bundle whose digest is `bundle`."""

    ident: int
    bundle: bytes
    progress: Progress
    owner: Owner
    frames: wire.Frames
    up: bool = False
    condemned: str = ""  # why it is being killed
    flight: Flight | None = None
    timer: asyncio.TimerHandle | None = None  # for its hello, its batch, or its death
    _sequence: int = 0
    _transport: asyncio.WriteTransport | None = field(default=None, repr=False)

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        if not isinstance(transport, asyncio.WriteTransport):
            raise TypeError("a worker's transport is writable")
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self.stop_timer()
        self.owner.lost(self)
        self.progress.close()

    @override
    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self.condemned == "mismatch":
            return
        try:
            for payload in self.frames.feed(data):
                self._received(wire.read_worker(payload))
        except (wire.WireError, MismatchError):
            self.owner.mismatched(self)

    def send(self, items: list[Item], now: float) -> None:
        """Send a batch. The link must be up and idle."""
        if self._transport is None:
            raise RuntimeError("the link is not connected")
        self._sequence += 1
        self.flight = Flight(self._sequence, items, now)
        self._transport.write(wire.batch(self._sequence, ((i.nonce, i.asked.document) for i in items)))

    def unanswered(self) -> list[Item]:
        """The items of the batch in flight that have no answer yet."""
        return [] if self.flight is None else self.flight.items[self.flight.answered :]

    def in_progress(self) -> tuple[Item | None, float]:
        """The item that the worker is evaluating and since when; no item, and since when it could have one, if it
        has not started or has finished."""
        if self.flight is None:
            return None, 0.0
        mark = self.progress.read()
        if mark.sequence != self.flight.sequence:
            return None, self.flight.sent
        if self.flight.answered <= mark.index < len(self.flight.items):
            return self.flight.items[mark.index], mark.since
        return None, mark.since

    def close(self) -> None:
        """Close our end; `lost` follows."""
        if self._transport is not None:
            self._transport.abort()

    def stop_timer(self) -> None:
        """Forget what was to happen if the worker did not answer."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _received(self, message: bytes | wire.Replies) -> None:
        if isinstance(message, bytes):
            if self.up or message != self.bundle:
                raise MismatchError
            self.up = True
            self.owner.came_up(self)
            return
        flight = self.flight
        if flight is None or message.sequence != flight.sequence or message.bundle != self.bundle:
            raise MismatchError
        settled = _matched(flight, message.items)
        flight.answered += len(settled)
        if flight.answered == len(flight.items):
            self.flight = None
            if not self.condemned:
                self.stop_timer()
        self.owner.answered(self, settled)


def _matched(flight: Flight, replies: tuple[wire.Reply, ...]) -> list[tuple[Item, wire.Reply]]:
    """Each reply with the item that it answers: the next ones of the batch, in order. Raises MismatchError."""
    items = flight.items[flight.answered : flight.answered + len(replies)]
    if not replies or len(items) != len(replies):
        raise MismatchError
    settled = list(zip(items, replies, strict=True))
    for item, reply in settled:
        if reply.nonce != item.nonce or reply.sha256.hex() != item.asked.sha256:
            raise MismatchError
    return settled
