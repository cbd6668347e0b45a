"""Where an issuer's keys come from, and how long they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from pdp.core.check import NS
from pdp.core.digest import Json
from pdp.core.errors import ConfigurationFault
from pdp.identity import keys
from pdp.identity.discovery import DiscoveredFetch
from pdp.identity.fetch import Fetch, HttpFetch
from pdp.identity.keys import KeyRing
from pdp.identity.options import IssuerOptions
from pdp.identity.watched import WatchedFile


class KeySource(Protocol):
    """The keys of one issuer."""

    async def current(self, at_ns: int, kid: str | None) -> KeyRing | None:
        """Keys to verify with, looked up again when `kid` is new; None when there are none fresh enough."""
        ...

    async def refresh(self, at_ns: int) -> None:
        """Bring the keys up to date. Never raises; `status` says what went wrong."""
        ...

    def status(self, at_ns: int) -> Mapping[str, Json]: ...

    async def close(self) -> None: ...


def source(options: IssuerOptions, *, development: bool, fetch: Fetch | None) -> KeySource:
    """The source an issuer's options name. Raises ConfigurationFault for a file that cannot serve."""
    if options.jwks_file is not None:
        return FileKeys(options, development=development)
    get = fetch or HttpFetch(ca_file=options.jwks_ca_file)
    if options.jwks_url is not None:
        return UrlKeys(options, options.jwks_url, get, development=development)
    return UrlKeys(options, options.issuer, DiscoveredFetch(get), development=development)


class FileKeys:
    """Keys from a file, read again when it changes."""

    def __init__(self, options: IssuerOptions, *, development: bool) -> None:
        if options.jwks_file is None:
            raise ConfigurationFault("keys.source", "`jwks_file` is missing")
        self._file = WatchedFile(
            options.jwks_file,
            lambda raw: keys.read(raw, development=development),
            limit=keys.MAX_DOCUMENT,
            max_stale_ns=options.max_stale_seconds * NS,
            prefix="keys",
            key="jwks_file",
        )

    async def current(self, at_ns: int, kid: str | None) -> KeyRing | None:
        del kid  # the file is looked at often enough
        return self._file.content(at_ns)

    async def refresh(self, at_ns: int) -> None:
        self._file.content(at_ns, now=True)

    def status(self, at_ns: int) -> Mapping[str, Json]:
        ring = self._file.content(at_ns)
        return _status("file", ring, self._file.age_ns(at_ns), self._file.problem)

    async def close(self) -> None:
        """Nothing to release."""


class UrlKeys:
    """Keys from a URL, or from wherever `fetch` finds them by it.

    Fetched when they are older than `refresh_seconds` or a token names an unknown key, but once per
    `retry_seconds` at most, so no flood of tokens becomes a flood of fetches. Requests wait for a fetch only when
    the keys at hand cannot serve them. A failed fetch keeps the last good keys until `max_stale_seconds`.
    """

    def __init__(self, options: IssuerOptions, url: str, fetch: Fetch, *, development: bool) -> None:
        self._url, self._fetch, self._development = url, fetch, development
        self._refresh_ns = options.refresh_seconds * NS
        self._retry_ns = min(options.retry_seconds, options.refresh_seconds) * NS
        self._max_stale_ns = options.max_stale_seconds * NS
        self._ring: KeyRing | None = None
        self._good_ns = 0
        self._tried_ns: int | None = None
        self._problem = "keys.not_fetched"
        self._running: asyncio.Task[None] | None = None

    async def current(self, at_ns: int, kid: str | None) -> KeyRing | None:
        ring = self._fresh(at_ns)
        wanting = ring is None or not ring.knows(kid)
        if wanting or self._age_ns(at_ns) >= self._refresh_ns:
            task = self._start(at_ns)
            if wanting and task is not None:
                await asyncio.shield(task)  # a cancelled request must not take the others' fetch with it
        return self._fresh(at_ns)

    async def refresh(self, at_ns: int) -> None:
        if self._fresh(at_ns) is None or self._age_ns(at_ns) >= self._refresh_ns:
            task = self._start(at_ns)
            if task is not None:
                await asyncio.shield(task)

    def status(self, at_ns: int) -> Mapping[str, Json]:
        return _status("url", self._fresh(at_ns), self._age_ns(at_ns), self._problem)

    async def close(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _age_ns(self, at_ns: int) -> int:
        return max(0, at_ns - self._good_ns)

    def _fresh(self, at_ns: int) -> KeyRing | None:
        return self._ring if self._age_ns(at_ns) <= self._max_stale_ns else None

    def _start(self, at_ns: int) -> asyncio.Task[None] | None:
        """The fetch under way, a new one, or None when it is too early for one."""
        if self._running is not None and not self._running.done():
            return self._running
        # either way: requests are a little apart, and a clock that is set back must not stop us for as long
        if self._tried_ns is not None and abs(at_ns - self._tried_ns) < self._retry_ns:
            return None
        self._tried_ns = at_ns
        self._running = asyncio.create_task(self._load(at_ns))
        return self._running

    async def _load(self, at_ns: int) -> None:
        try:
            self._ring = keys.read(await self._fetch(self._url), development=self._development)
        except ConfigurationFault as fault:
            self._problem = fault.code
        else:
            self._good_ns, self._problem = at_ns, ""


def _status(kind: str, ring: KeyRing | None, age_ns: int, problem: str) -> Mapping[str, Json]:
    count = 0 if ring is None else len(ring.keys)
    return {"source": kind, "keys": count, "age_seconds": age_ns // NS, "problem": problem}
