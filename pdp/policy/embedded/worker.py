"""A policy worker: one engine with one bundle, one socket, one batch at a time. It is forked ready by the zygote.

It trusts nothing it evaluates: any behaviour of the engine short of ending the process becomes an item's status.
"""

from __future__ import annotations

import hashlib
import signal
import socket
import time
from dataclasses import dataclass

from pdp.core.outcome import RULE
from pdp.policy.embedded import wire
from pdp.policy.embedded.regorus_binding import RegorusEngine, places
from pdp.policy.embedded.wire import NONE, Progress
from pdp.policy.evaluation import MAX_DEPTH, Status, too_deep

_FLUSH_SECONDS = 0.005  # finished answers do not wait longer than this for a slow neighbour


@dataclass(frozen=True, slots=True)
class EvaluationCaps:
    """The caps of one evaluation. `alarm_seconds` is the last resort should the server not act on its deadline."""

    depth: int = MAX_DEPTH
    answer_bytes: int = 8 << 20
    batch_bytes: int = 64 << 20
    alarm_seconds: float = 1.0


class BrokenEngineError(Exception):
    """An engine failed otherwise than by an evaluation error; it must not be used again."""


class Evaluator:
    """The evaluator of `data.pdp.decision`, for one document after another."""

    def __init__(self, engine: RegorusEngine, caps: EvaluationCaps) -> None:
        self._engine = engine
        self._caps = caps

    def evaluate(self, document: bytes) -> tuple[Status, bytes]:
        """The status and body for one document. Raises BrokenEngineError after a panic or lack of memory."""
        if too_deep(document, self._caps.depth):
            return Status.INPUT, b"nested too deep"
        try:
            return self._evaluate(document)
        except BaseException as error:
            raise BrokenEngineError from error

    def _evaluate(self, document: bytes) -> tuple[Status, bytes]:
        try:
            # a refused document leaves the previous one in place, so nothing is evaluated after a failure here
            self._engine.set_input_json(document.decode())
        except (RuntimeError, UnicodeDecodeError):
            return Status.INPUT, b"not JSON that the engine accepts"
        try:
            text = self._engine.eval_rule_as_json(RULE)
        except RuntimeError as error:
            return Status.ERROR, f"evaluation failed at {places(error)}".encode(errors="replace")[:1000]
        return self._answer(text)

    def _answer(self, text: str) -> tuple[Status, bytes]:
        if text == '"<undefined>"':
            return Status.UNDEFINED, b"undefined"
        if not text.startswith("{"):
            return Status.NOT_A_DECISION, b"not an object"
        body = text.encode(errors="surrogatepass")
        if len(body) > self._caps.answer_bytes:
            return Status.NOT_A_DECISION, b"too large"
        return Status.OK, body


class _ReplyBuffer:
    """A buffer of the answers to one batch, flushed early when a neighbour is slow."""

    def __init__(self, connection: socket.socket, bundle: bytes, sequence: int) -> None:
        self._connection = connection
        self._bundle = bundle
        self._sequence = sequence
        self._ready: list[wire.ItemReply] = []
        self._flushed = time.monotonic()

    def add(self, reply: wire.ItemReply, now: float) -> None:
        self._ready.append(reply)
        if now - self._flushed > _FLUSH_SECONDS:
            self.flush()
            self._flushed = now

    def flush(self) -> None:
        if self._ready:
            answer = wire.ReplyBatch(self._bundle, self._sequence, tuple(self._ready))
            self._connection.sendall(wire.replies(answer))
            self._ready.clear()


def serve(
    connection: socket.socket, progress: Progress, evaluator: Evaluator, bundle: bytes, caps: EvaluationCaps
) -> None:
    """Answer batches until the server closes the connection. `bundle` is the digest of what is loaded.

    Returns at the end of the stream and after a broken engine; the process is expected to exit then.
    """
    reader = connection.makefile("rb", buffering=1 << 16)
    connection.sendall(wire.hello(bundle))
    while len(header := reader.read(4)) == 4:
        length = wire.frame_length(header)
        if length > caps.batch_bytes:
            return
        payload = reader.read(length)
        if len(payload) < length:
            return
        sequence, items = wire.read_batch(payload)
        answers = _ReplyBuffer(connection, bundle, sequence)
        now = time.monotonic()
        for index, (nonce, document) in enumerate(items):
            sha256 = hashlib.sha256(document).digest()
            signal.setitimer(signal.ITIMER_REAL, caps.alarm_seconds)
            progress.write(sequence, index, now)
            try:
                status, body = evaluator.evaluate(document)
            except BrokenEngineError:
                progress.write(sequence, NONE, time.monotonic())
                answers.add(wire.ItemReply(nonce, sha256, Status.ERROR, b"the engine broke"), now)
                answers.flush()
                return
            now = time.monotonic()
            answers.add(wire.ItemReply(nonce, sha256, status, body), now)
        progress.write(sequence, NONE, now)
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.flush()
