"""The decision process's end of the socket: many sessions at once, each answered or given up."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from pathlib import Path

from pdp.core.digest import Json
from pdp.core.judge.judge_input import Rendered
from pdp.judge import wire
from pdp.judge.options import JudgeOptions
from pdp.judge.session_result import SessionResult

_CONNECT_SECONDS = 5.0
_SILENT_SECONDS = 15.0  # without a beat; then it hangs


class UnreachableError(Exception):
    """There is no judge's process at the socket, or not the one that is wanted."""


class Connection:
    """A connection to a judge's process. Made by `open`; `gone` is set at its end, whoever ends it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._waiting: dict[int, asyncio.Future[SessionResult]] = {}
        self._ids = itertools.count(1)
        self._listener: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()
        self.state: Mapping[str, Json] = {}

    @classmethod
    async def open(cls, path: Path, options: JudgeOptions) -> Connection:
        """Connect, and make sure that it runs as our user and speaks for the same model. Raises UnreachableError."""
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(path, limit=wire.MAX_TOLD)
        except OSError:  # TimeoutError is one
            raise UnreachableError("nobody listens at its socket") from None
        made = cls(reader, writer)
        try:
            await made._introduced(options)
        except BaseException:
            await wire.close(writer)
            raise
        made._listener = asyncio.create_task(made._listen(), name="judge")
        return made

    async def _introduced(self, options: JudgeOptions) -> None:
        if wire.user_of(self._writer.get_extra_info("socket")) != os.geteuid():
            raise UnreachableError("it runs as another user")
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                told = wire.read_hello(await self._reader.readline())
        except (wire.WireError, OSError, ValueError):
            raise UnreachableError("it does not speak as a judge's process does") from None
        if told != (options.model, options.url):
            raise UnreachableError("it speaks for another model or endpoint than judge.model and judge.base_url")

    async def ask(self, tenant: str, rendered: Rendered, within_s: float) -> SessionResult:
        """One session. Status `unavailable` when the process goes away, `timeout` when it is late."""
        if self.gone.is_set():
            return SessionResult("unavailable")
        ident = next(self._ids)
        try:
            line = wire.ask(wire.Asked(ident, tenant, within_s, rendered))
        except wire.WireError:
            return SessionResult("too_large")
        answer: asyncio.Future[SessionResult] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = answer
        try:
            async with asyncio.timeout(within_s):
                self._writer.write(line)
                return await answer
        except TimeoutError:  # the judge's process gives up at the same time
            return SessionResult("timeout")
        finally:
            self._waiting.pop(ident, None)

    async def close(self) -> None:
        """End it. Idempotent."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.gather(self._listener, return_exceptions=True)
            await wire.close(self._writer)

    async def _listen(self) -> None:
        try:
            while True:
                async with asyncio.timeout(_SILENT_SECONDS):
                    line = await self._reader.readline()
                if not line:
                    return
                self._told(line)
        except (wire.WireError, OSError, ValueError):  # of these, TimeoutError: it hangs
            return
        finally:
            self.gone.set()
            self._writer.transport.abort()  # whoever hangs never takes what is left to send
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_result(SessionResult("unavailable"))

    def _told(self, line: bytes) -> None:
        found = wire.read_told(line)
        if isinstance(found, Mapping):
            self.state = found
            return
        ident, said = found
        answer = self._waiting.get(ident)
        if answer is not None and not answer.done():
            answer.set_result(said)
