"""How an engine reaches its OPA: by a session, or by a session with a process that is kept alive."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp

from pdp.core.errors import EngineFault, Fault
from pdp.engines import faults
from pdp.engines.opa_bundle import owner
from pdp.engines.opa_client import OpaClient, RefusedError, UnfitError

_BACKOFF_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_PROBE_SECONDS = 1.0


class Link(Protocol):
    """How an engine reaches its OPA."""

    def client(self) -> OpaClient:
        """The session to ask with. Raises EngineFault (`policy.unavailable`) while there is none."""
        ...

    def suspect(self) -> None:
        """An answer was late: find out whether OPA still lives."""
        ...

    async def close(self) -> None: ...


class Remote:
    """A session with an OPA that somebody else keeps alive. Implements `Link`."""

    def __init__(self, client: OpaClient) -> None:
        self._client = client

    def client(self) -> OpaClient:
        return self._client

    def suspect(self) -> None:
        """Nothing that we could do for it."""

    async def close(self) -> None:
        await self._client.close_connection()


class Running(Protocol):
    """A started OPA (`opa_process.OpaProcess`)."""

    client: OpaClient | None
    gone: asyncio.Event

    def destroy(self) -> None: ...

    async def close(self) -> None: ...


class Kept:
    """A session with a child that is started again when it dies, and killed when it hangs. Implements `Link`.

    `start` makes another one; `on_kill` is told `crashed` or `stalled`.
    """

    def __init__(
        self, first: Running, start: Callable[[], Awaitable[Running]], digest: str, on_kill: Callable[[str], None]
    ) -> None:
        self._running: Running = first
        self._start = start
        self._digest = digest
        self._on_kill = on_kill
        self._stalled = False
        self._probe: asyncio.Task[None] | None = None
        self._keeper = asyncio.create_task(self._keep(), name="keeper of OPA")

    def client(self) -> OpaClient:
        client = self._running.client
        if client is None or self._running.gone.is_set():
            raise EngineFault(*faults.UNAVAILABLE)
        return client

    def suspect(self) -> None:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._examine(self._running), name="probe of OPA")

    async def close(self) -> None:
        tasks = [task for task in (self._keeper, self._probe) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._running.close()

    async def _examine(self, running: Running) -> None:
        """A policy may be slow while OPA is well; one that does not even answer this is of no use any more."""
        try:
            if running.client is not None:
                await introduce(running.client, self._digest, _PROBE_SECONDS)
        except EngineFault:
            self._stalled = True
            running.destroy()

    async def _keep(self) -> None:
        while True:
            await self._running.gone.wait()
            self._on_kill("stalled" if self._stalled else "crashed")
            self._stalled = False
            await self._running.close()
            await self._again()

    async def _again(self) -> None:
        failures = 0
        while True:
            await asyncio.sleep(_BACKOFF_SECONDS[min(failures, len(_BACKOFF_SECONDS) - 1)])
            try:
                self._running = await self._start()
            except (Fault, OSError):
                failures += 1
            else:
                return


async def introduce(client: OpaClient, digest: str, seconds: float) -> tuple[str, str]:
    """Make sure that OPA holds the bundle `digest` and that it owns its roots: the bundle's name and OPA's version.

    Raises EngineFault: `policy.unavailable`, `policy.mismatch`.
    """
    try:
        async with asyncio.timeout(seconds):
            told = await client.bundles()
    except (TimeoutError, UnfitError, aiohttp.ClientError, OSError) as error:
        raise EngineFault(*faults.UNAVAILABLE, detail=type(error).__name__) from None
    except RefusedError as error:
        raise EngineFault(
            "policy.unavailable",
            "OPA refuses to say which bundles it holds; let the token read GET /v1/data/system/bundles.",
            detail=str(error),
        ) from None
    return owner(told.result, digest), told.version
