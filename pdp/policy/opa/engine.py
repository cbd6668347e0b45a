"""The OPA server engine: a real `opa run --server`, asked one question at a time under a deadline of ours.

Whatever is not a decision by the expected revision, in time, is a fault, and the service denies.
"""

from __future__ import annotations

import asyncio
import json

import aiohttp

from pdp.core.decide import Question
from pdp.core.errors import EngineFault, Overloaded
from pdp.policy.embedded import faults
from pdp.policy.embedded.options import PoolOptions
from pdp.policy.embedded.wire import Status
from pdp.policy.embedded.worker import too_deep
from pdp.policy.opa.bundle import revision
from pdp.policy.opa.client import OpaClient, RefusedError, Told, UnfitError
from pdp.policy.opa.link import Link
from pdp.policy.opa.options import OpaOptions

MAX_DEPTH = 64  # of nesting in an input document, as on the embedded engine
MAX_WAITING = 1024


class OpaEngine:
    """The engine for one bundle. Made by `OpaHost.load`; implements the port `Engine`.

    `policy.timeout` and `policy.crashed` count against whoever asked, so they are for a question that is known to be
    the cause: it had no answer while OPA answered another request that came later, or OPA died of it alone.
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
        end, left = now() + seconds, 0.0
        witness: asyncio.Task[bool] | None = None
        try:
            async with asyncio.timeout(seconds), self._places:
                left = end - now()
                witness = asyncio.create_task(self._answers(left / 2), name="witness of OPA")
                return await self._ask(asked.document)
        except TimeoutError:
            self._link.suspect()
            if left < seconds / 2:  # most of its time it only waited
                raise EngineFault(*faults.BUSY) from None
            if witness is None or not witness.done() or not witness.result():
                raise EngineFault(*faults.UNAVAILABLE, detail="OPA answers nobody") from None
            raise EngineFault(*faults.TIMEOUT) from None
        finally:
            if witness is not None:
                witness.cancel()

    async def _answers(self, after: float) -> bool:
        """Whether OPA answers somebody when a question has had no answer for so many seconds."""
        await asyncio.sleep(after)
        try:
            await self._link.client().bundles()
        except (EngineFault, RefusedError, UnfitError, aiohttp.ClientError, OSError):
            return False
        return True

    async def _ask(self, document: bytes) -> Told:
        client = self._link.client()
        self._sent += 1
        try:
            told = await client.decide(document)
            await self._link.vouch()
        except RefusedError as error:
            raise EngineFault(*faults.BY_STATUS[Status.ERROR], detail=str(error)) from None
        except UnfitError as error:
            raise EngineFault(*faults.BY_STATUS[Status.NOT_A_DECISION], detail=str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise await self._lost(client, error) from None
        else:
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

    async def _lost(self, client: OpaClient, error: Exception) -> EngineFault:
        """No connection at all, or one that broke under the question. Networks break connections too, and with others
        on the way nobody knows whose fault it was: only the death of an OPA that had this question alone tells."""
        alone = self._sent == 1 and not self._closed
        crashed = alone and await self._link.died(client) and not self._closed
        return EngineFault(*(faults.CRASHED if crashed else faults.UNAVAILABLE), detail=type(error).__name__)

    async def close(self) -> None:
        """End the connections, and the process if it is ours. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._link.close()
