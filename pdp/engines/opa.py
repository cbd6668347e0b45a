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
from pdp.engines.options import PoolOptions
from pdp.engines.wire import Status
from pdp.engines.worker import too_deep

MAX_DEPTH = 64  # of nesting in an input document, as on the embedded engine
MAX_WAITING = 1024
_LIMITS = PoolOptions()


class OpaEngine:
    """The engine for one bundle. Made by `OpaHost.load`; implements the port `Engine`."""

    name = "opa"

    def __init__(self, digest: str, bundle: str, told: str, link: Link, deadline_ms: int) -> None:
        self.bundle_digest = digest
        self.version = f"opa/{told}"
        self._name = bundle  # under which OPA holds our bundle
        self._link = link
        self._deadline = deadline_ms / 1000
        self._asked = 0
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closed

    async def evaluate(self, asked: Question) -> bytes:
        """JSON of `data.pdp.decision` for the question.

        Raises EngineFault: `policy.timeout`, `policy.crashed` (the connection broke), `policy.error`,
        `policy.undefined`, `policy.not_a_decision`, `policy.input`, `policy.mismatch`, `policy.unavailable`; and
        Overloaded when too many questions wait.
        """
        if len(asked.document) > _LIMITS.cap(asked.phase):
            raise EngineFault(*faults.TOO_LARGE)
        if too_deep(asked.document, MAX_DEPTH):
            raise EngineFault(*faults.BY_STATUS[Status.INPUT])
        if self._closed:
            raise EngineFault(*faults.UNAVAILABLE)
        if self._asked >= MAX_WAITING:
            raise Overloaded("policy.overloaded", "Too many questions wait for the policy engine; ask again later.")
        self._asked += 1
        try:
            return self._decision(await self._ask(asked.document))
        finally:
            self._asked -= 1

    async def _ask(self, document: bytes) -> Told:
        client = self._link.client()
        try:
            # over everything: waiting for a connection, making one, sending, evaluating, reading
            async with asyncio.timeout(self._deadline):
                return await client.decide(document)
        except TimeoutError:
            self._link.suspect()
            raise EngineFault(*faults.TIMEOUT) from None
        except RefusedError as error:
            raise EngineFault(*faults.BY_STATUS[Status.ERROR], detail=str(error)) from None
        except UnfitError as error:
            raise EngineFault(*faults.BY_STATUS[Status.NOT_A_DECISION], detail=str(error)) from None
        except (aiohttp.ClientError, OSError) as error:
            raise _lost(error) from None

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

    async def close(self) -> None:
        """End the connections, and the process if it is ours. Idempotent."""
        if not self._closed:
            self._closed = True
            await self._link.close()


def _lost(error: Exception) -> EngineFault:
    """No connection at all, or one that broke under the question."""
    if isinstance(error, aiohttp.ClientConnectorError) or not isinstance(error, aiohttp.ClientError):
        return EngineFault(*faults.UNAVAILABLE, detail=type(error).__name__)
    return EngineFault(*faults.CRASHED, detail=type(error).__name__)
