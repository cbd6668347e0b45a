"""The OPA server engine: a real `opa run --server`, asked one question at a time under a deadline of ours.

Whatever is not a decision by the expected revision, in time, is a fault, and the service denies.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp

from pdp.core.decide import Question
from pdp.core.errors import EngineFault, Overloaded
from pdp.engines import faults
from pdp.engines.opa_bundle import revision
from pdp.engines.opa_client import RefusedError, Told, UnfitError
from pdp.engines.opa_link import Link
from pdp.engines.opa_options import OpaOptions
from pdp.engines.options import PoolOptions
from pdp.engines.wire import Status
from pdp.engines.worker import too_deep

MAX_DEPTH = 64  # of nesting in an input document, as on the embedded engine
MAX_WAITING = 1024


class OpaEngine:
    """The engine for one bundle. Made by `OpaHost.load`; implements the port `Engine`.

    `policy.timeout` and `policy.crashed` count against whoever asked, so they blame a question only where it is to
    blame: not one that never reached OPA, and not many at once because OPA or the way to it was gone.
    """

    name = "opa"

    def __init__(self, digest: str, bundle: str, told: str, link: Link, options: OpaOptions) -> None:
        self.bundle_digest = digest
        self.version = f"opa/{told}"
        self._name = bundle  # under which OPA holds our bundle
        self._link = link
        self._limits = PoolOptions(deadline_ms=options.deadline_ms)  # as for the embedded engine
        self._places = asyncio.Semaphore(options.connections)
        self._asked = 0  # questions here
        self._sent = 0  # of them, those that OPA has
        self._heard = 0  # answers so far
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    @property
    def workers(self) -> int:
        """1 while OPA can be asked."""
        try:
            self._link.client()
        except EngineFault:
            return 0
        return 1

    async def evaluate(self, asked: Question) -> bytes:
        """JSON of `data.pdp.decision` for the question.

        Raises EngineFault: `policy.timeout`, `policy.crashed` (the connection broke), `policy.error`,
        `policy.undefined`, `policy.not_a_decision`, `policy.input`, `policy.mismatch`, `policy.unavailable`; and
        Overloaded when too many questions wait.
        """
        if len(asked.document) > self._limits.cap(asked.phase):
            raise EngineFault(*faults.TOO_LARGE)
        if too_deep(asked.document, MAX_DEPTH):
            raise EngineFault(*faults.BY_STATUS[Status.INPUT])
        if self._closed:
            raise EngineFault(*faults.UNAVAILABLE)
        if self._asked >= MAX_WAITING:
            raise Overloaded("policy.overloaded", "Too many questions wait for the policy engine; ask again later.")
        self._asked += 1
        try:
            return self._decision(await self._within(asked))
        finally:
            self._asked -= 1

    async def _within(self, asked: Question) -> Told:
        """The answer, in time: waiting for a connection, making one, sending, evaluating and reading included."""
        seconds, now = self._limits.seconds(len(asked.keys)), asyncio.get_running_loop().time
        heard, end, begun = self._heard, now() + seconds, 0.0
        try:
            async with asyncio.timeout(seconds), self._places:
                begun = now()
                return await self._ask(asked.document)
        except TimeoutError:
            self._link.suspect()
            if not begun or end - begun < seconds / 2:  # most of its time it only waited
                raise EngineFault(*faults.BUSY) from None
            if self._heard == heard and self._sent:  # nobody was answered: it is not this question
                raise EngineFault(*faults.UNAVAILABLE, detail="OPA answers nobody") from None
            raise EngineFault(*faults.TIMEOUT) from None

    async def _ask(self, document: bytes) -> Told:
        client = self._link.client()
        self._sent += 1
        try:
            told = await client.decide(document)
        except RefusedError as error:
            self._heard += 1
            raise EngineFault(*faults.BY_STATUS[Status.ERROR], detail=str(error)) from None
        except UnfitError as error:
            self._heard += 1
            raise EngineFault(*faults.BY_STATUS[Status.NOT_A_DECISION], detail=str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._lost(error) from None
        else:
            self._heard += 1
            return told
        finally:
            self._sent -= 1

    def _decision(self, told: Told) -> bytes:
        if revision(told.provenance, self._name) != self.bundle_digest:
            raise EngineFault(*faults.MISMATCH, detail="OPA answered by another revision of the policy")
        self.version = f"opa/{told.version}"
        if not told.defined:
            raise EngineFault(*faults.BY_STATUS[Status.UNDEFINED])
        if not isinstance(told.result, dict):
            raise EngineFault(*faults.BY_STATUS[Status.NOT_A_DECISION])
        try:
            return json.dumps(told.result, allow_nan=False, separators=(",", ":")).encode()
        except (ValueError, RecursionError):
            raise EngineFault(*faults.BY_STATUS[Status.NOT_A_DECISION]) from None

    def _lost(self, error: Exception) -> EngineFault:
        """No connection at all, or one that broke under the question. With others on the way, or while we end OPA
        ourselves, nobody knows whose fault it was."""
        broke = isinstance(error, aiohttp.ClientError) and not isinstance(error, aiohttp.ClientConnectorError)
        alone = self._sent == 1 and not self._closed
        return EngineFault(*(faults.CRASHED if broke and alone else faults.UNAVAILABLE), detail=type(error).__name__)

    async def close(self) -> None:
        """End the connections, and the process if it is ours. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._link.close()
