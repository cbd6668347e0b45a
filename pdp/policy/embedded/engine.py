"""The embedded engine: regorus in confined worker processes.

`EngineHost` turns a bundle into an `EmbeddedEngine`, which has a zygote and workers of its own; a new bundle is a new
engine, and the old one is closed by whoever swapped it, after it has drained.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

from pdp.core.decide import Question
from pdp.core.errors import EngineFault, Fault
from pdp.core.policy import Bundle
from pdp.policy.embedded.link import Link
from pdp.policy.embedded.options import Counters, EmbeddedOptions
from pdp.policy.embedded.pool import Pool
from pdp.policy.embedded.zygote_process import ZygoteProcess

log = logging.getLogger("pdp.policy")
_BACKOFF_SECONDS = (0.0, 0.0, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_BURIAL_SECONDS = 2.0
_START_SECONDS = 10.0
_HOPELESS_STARTS = 2


class EmbeddedEngine:
    """The engine for one bundle. Made by `EngineHost.load`; implements the port `Engine`."""

    name = "embedded"

    def __init__(
        self,
        bundle: Bundle,
        options: EmbeddedOptions,
        zygote: ZygoteProcess,
        counters: Counters,
        on_kill: Callable[[str], None],
    ) -> None:
        self.bundle_digest = bundle.digest
        self.version = zygote.version
        self._bundle = bundle
        self._options = options
        self._counters = counters
        self._zygote = zygote
        self._idents = itertools.count(1)
        self._wanted = asyncio.Event()
        self._closing = False
        self._pool = Pool(options.pool, counters, wanted=self._wanted.set, condemn=self._condemn, on_kill=on_kill)
        self._loop = asyncio.get_running_loop()
        self._supervisor = self._loop.create_task(self._supervise(), name="policy workers")

    async def started(self) -> None:
        """Wait for the first worker. Raises EngineFault (`policy.unavailable`)."""
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self._pool.started.wait()
        except TimeoutError:
            raise EngineFault("policy.unavailable", "The policy workers do not start.") from None

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._closing

    @property
    def workers(self) -> int:
        """Workers that are up."""
        return self._pool.up

    @property
    def zygote_pid(self) -> int:
        """Process id of the zygote, for the operator."""
        return self._zygote.pid

    async def evaluate(self, asked: Question) -> bytes:
        """JSON of `data.pdp.decision` for the question.

        Raises EngineFault: `policy.timeout` and `policy.crashed` (this question cost a worker), `policy.error`,
        `policy.undefined`, `policy.not_a_decision`, `policy.input`, `policy.mismatch`, `policy.unavailable`; and
        Overloaded when too many questions wait.
        """
        return await self._pool.evaluate(asked)

    async def close(self) -> None:
        """Fail what is still asked, end all processes and wait until none is left. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self._supervisor.cancel()
        self._pool.close()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._zygote.close()

    async def _supervise(self) -> None:
        """Keep a zygote and the workers alive."""
        failures = 0
        while True:
            self._wanted.clear()
            try:
                if self._zygote.gone.is_set():
                    await self._restart()
                while self._pool.size < self._options.workers:
                    await self._spawn()
                failures = 0
            except Exception as fault:  # whatever it is: without a supervisor there would soon be no worker
                if not isinstance(fault, Fault | OSError):
                    log.exception("policy workers cannot be started: a fault of ours; trying again")
                failures += 1
                self._zygote.destroy()
                self._wanted.set()
            if not self._pool.up and max(failures, self._pool.failed_starts) >= _HOPELESS_STARTS:
                self._pool.refuse()
            pause = max(failures, self._pool.failed_starts)
            await asyncio.sleep(_BACKOFF_SECONDS[min(pause, len(_BACKOFF_SECONDS) - 1)])
            await self._wanted.wait()

    async def _restart(self) -> None:
        self._counters.zygote_restarts += 1
        self._zygote.destroy()
        self._zygote = await ZygoteProcess.start(
            self._bundle, self.bundle_digest, self._options.zygote, self._options.environment
        )

    async def _spawn(self) -> None:
        ident = next(self._idents)
        connection, progress = self._zygote.spawn(ident)
        link = self._pool.adopt(ident, bytes.fromhex(self.bundle_digest), progress, self._options.reply_bytes)
        try:
            await self._loop.create_unix_connection(lambda: link, sock=connection)
        except BaseException:
            self._pool.abandon(link)
            connection.close()
            raise

    def _condemn(self, link: Link) -> None:
        """Have the link's worker killed; a zygote that cannot do it, or did not bring the worker up in the first
        place, is killed itself, and all workers with it."""
        try:
            self._zygote.kill(link.ident)
        except OSError:
            self._zygote.destroy()
        if not link.up:
            self._zygote.destroy()
        link.timer = self._loop.call_later(_BURIAL_SECONDS, self._zygote.destroy)


class EngineHost:
    """Makes engines. `on_kill` is called with `timeout`, `crashed`, `stalled` or `mismatch` for each worker lost;
    `counters` are over all engines of this host.

    Use from one event loop, in a thread that lives as long as the host: Linux ends a zygote with the thread that
    started it.
    """

    def __init__(
        self, options: EmbeddedOptions | None = None, *, on_kill: Callable[[str], None] = lambda _: None
    ) -> None:
        self.counters = Counters()
        self._options = options or EmbeddedOptions()
        self._on_kill = on_kill
        self._engines: list[EmbeddedEngine] = []

    async def load(self, bundle: Bundle) -> EmbeddedEngine:
        """A new engine for `bundle`, with its first worker up.

        Raises BundleFault when the bundle cannot be loaded, EngineFault when processes cannot be started,
        ConfigurationFault when another `regorus` is installed.
        """
        options = self._options
        zygote = await ZygoteProcess.start(bundle, bundle.digest, options.zygote, options.environment)
        engine = EmbeddedEngine(bundle, options, zygote, self.counters, self._on_kill)
        try:
            await engine.started()
        except BaseException:
            await engine.close()
            raise
        self._engines = [e for e in self._engines if not e.closed]
        self._engines.append(engine)
        return engine

    async def close(self) -> None:
        """Close every engine that is still open."""
        for engine in self._engines:
            await engine.close()
        self._engines.clear()
