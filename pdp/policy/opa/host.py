"""Makes OPA engines: one process per bundle, or a session with an OPA that somebody else runs."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pdp.core.errors import ConfigurationFault
from pdp.core.policy import Bundle
from pdp.policy.opa.client import OpaClient, Place, trust
from pdp.policy.opa.engine import OpaEngine
from pdp.policy.opa.link import Kept, Link, Remote, introduce
from pdp.policy.opa.options import OpaOptions, address
from pdp.policy.opa.process import OpaProcess
from pdp.ports import Entropy

_INTRODUCTION_SECONDS = 5.0
_TOKEN_BYTES = 32


class OpaHost:
    """Makes engines. `token` is the bearer token of `options.url`, an OPA that is asked every `watch_seconds` what it
    holds; `on_kill` is called with `crashed` or `stalled` for each process lost. Use from one event loop, in a thread
    that lives as long as the host."""

    def __init__(
        self,
        options: OpaOptions,
        entropy: Entropy,
        *,
        token: bytes = b"",
        memory_mb: int = 1024,
        watch_seconds: float = 1.0,
        on_kill: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._options = options
        self._entropy = entropy
        self._token = token
        self._memory_mb = memory_mb
        self._watch_seconds = watch_seconds
        self._on_kill = on_kill
        self._engines: list[OpaEngine] = []

    async def load(self, bundle: Bundle) -> OpaEngine:
        """An engine for `bundle`, once OPA has proven that it holds it.

        Raises EngineFault (`policy.unavailable`, `policy.mismatch`), BundleFault (`bundle.load`), ConfigurationFault
        (`engine.binary`, `engine.version`, `config.invalid`).
        """
        binary = self._options.binary
        name, version, link = await (self._started(binary, bundle) if binary else self._found(bundle))
        if version.startswith("0."):
            await link.close()
            raise ConfigurationFault("engine.version", "policy.opa: OPA 1.0 or newer is needed.")
        engine = OpaEngine(bundle.digest, name, version, link, self._options)
        self._engines = [e for e in self._engines if not e.closed]
        self._engines.append(engine)
        return engine

    async def _started(self, binary: Path, bundle: Bundle) -> tuple[str, str, Link]:
        start = partial(self._start, binary, bundle)
        first = await start()
        return first.bundle, first.version, Kept(first, start, bundle.digest, self._on_kill)

    async def _start(self, binary: Path, bundle: Bundle) -> OpaProcess:
        options = self._options
        return await OpaProcess.start(
            binary,
            bundle,
            token=self._entropy.bytes(_TOKEN_BYTES).hex(),
            memory_mb=self._memory_mb,
            connections=options.connections,
        )

    async def _found(self, bundle: Bundle) -> tuple[str, str, Link]:
        client = await OpaClient.connect(self._place(), self._options.connections)
        try:
            name, version = await introduce(client, bundle.digest, _INTRODUCTION_SECONDS)
        except BaseException:
            await client.close_connection()
            raise
        return name, version, Remote(client, bundle.digest, self._watch_seconds)

    def _place(self) -> Place:
        options = self._options
        secure, host, port = address(options.url)
        try:
            tls = trust(options.ca_file) if secure else None
        except (OSError, ssl.SSLError):
            raise ConfigurationFault("config.invalid", "policy.opa.ca_file: holds no certificates in PEM.") from None
        return Place(self._token.decode("ascii"), host=host, port=port, tls=tls)

    async def close(self) -> None:
        """Close every engine that is still open."""
        for engine in self._engines:
            await engine.close()
        self._engines.clear()
