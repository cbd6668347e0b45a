"""How an engine reaches its OPA: by a session, or by a session with a process that is kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import Protocol

import aiohttp

from pdp.core.errors import EngineFault, Fault
from pdp.policy.embedded import faults
from pdp.policy.opa.bundle import owner
from pdp.policy.opa.client import OpaClient, RefusedError, UnfitError

_BACKOFF_SECONDS = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_PROBE_SECONDS = 1.0


class Link(Protocol):
    """How an engine reaches its OPA."""

    def client(self) -> OpaClient:
        """The session to ask with. Raises EngineFault (`policy.unavailable`) while there is none."""
        ...

    async def vouch(self) -> None:
        """Make sure that an answer came from an OPA that has proven what it holds. Raises EngineFault
        (`policy.unavailable`, `policy.mismatch`)."""
        ...

    async def died(self, client: OpaClient) -> bool:
        """Whether the OPA behind a session whose connection broke has ended, and not by our hand."""
        ...

    def suspect(self) -> None:
        """An answer was late: find out whether OPA still lives."""
        ...

    async def close(self) -> None: ...


class Remote:
    """A session with an OPA that somebody else keeps alive, perhaps with other bundles. Implements `Link`.

    An answer tells the revision, not who owns the roots; so OPA is asked for its manifests again and again (every
    `seconds`), and whenever a connection was made, before an answer is believed.
    """

    def __init__(self, client: OpaClient, digest: str, seconds: float) -> None:
        self._client = client
        self._digest = digest
        self._seconds = seconds
        self._made = 0  # connections
        self._proven = 0  # as many of them as there were when OPA last proved what it holds
        self._proving = asyncio.Lock()
        self._fault: EngineFault | None = None
        client.connected = self._connected
        self._watcher = asyncio.create_task(self._watch(), name="watcher of OPA")

    def client(self) -> OpaClient:
        if self._fault is not None:
            raise EngineFault(*faults.MISMATCH, detail=self._fault.message)
        if self._watcher.done():
            raise EngineFault(*faults.UNAVAILABLE)
        return self._client

    async def vouch(self) -> None:
        async with self._proving:
            if self._proven != self._made:
                await self._prove()
        self.client()

    async def died(self, client: OpaClient) -> bool:  # noqa: ARG002 - a link's own way to know
        """Nobody here can know."""
        return False

    def suspect(self) -> None:
        """Nothing that we could do for it."""

    async def close(self) -> None:
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        await self._client.close_connection()

    def _connected(self) -> None:
        self._made += 1

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            with contextlib.suppress(EngineFault):  # who cannot be asked now is asked before it is believed
                await self._prove()

    async def _prove(self) -> None:
        try:
            await introduce(self._client, self._digest, _PROBE_SECONDS)
        except EngineFault as fault:
            self._proven = -1
            if fault.code == "policy.mismatch":
                self._fault = fault
            raise EngineFault(*faults.BY_CODE[fault.code], detail=fault.message) from None
        self._fault, self._proven = None, self._made


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
        self._stalled: Running | None = None  # killed by us
        self._probe: asyncio.Task[None] | None = None
        self._keeper = asyncio.create_task(self._keep(), name="keeper of OPA")

    def client(self) -> OpaClient:
        client = self._running.client
        if client is None or self._running.gone.is_set():
            raise EngineFault(*faults.UNAVAILABLE)
        return client

    async def vouch(self) -> None:
        """It was made by us with one bundle, and nobody can write to it."""

    async def died(self, client: OpaClient) -> bool:
        running = self._running
        if running.client is not client:  # replaced meanwhile
            return True
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await running.gone.wait()
        except TimeoutError:
            return False
        return self._stalled is not running

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
            self._stalled = running
            running.destroy()

    async def _keep(self) -> None:
        while True:
            await self._running.gone.wait()
            self._on_kill("stalled" if self._stalled is self._running else "crashed")
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
        raise EngineFault("policy.unavailable", f"OPA {_why(error)}.", detail=type(error).__name__) from None
    except RefusedError as error:
        raise EngineFault(
            "policy.unavailable",
            "OPA refuses to say which bundles it holds; let the token read GET /v1/data/system/bundles.",
            detail=str(error),
        ) from None
    return owner(told.result, digest), told.version


def _why(error: Exception) -> str:
    """Why OPA cannot be asked, in words for its operator."""
    if isinstance(error, TimeoutError):
        return "does not answer in time"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "cannot be found: its name does not resolve"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError | aiohttp.ClientSSLError):
        return "cannot be trusted: its certificate does not verify (policy.opa.ca_file)"
    if isinstance(error, UnfitError):
        return "does not answer as an OPA does; is this its address?"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be reached: {os.strerror(error.errno)}"
    return "breaks the connection"
