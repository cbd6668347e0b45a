"""The judge, as the decision process has it: renders, asks the judge's process, and reads what it says strictly.

Nothing here knows the key, and nothing of what a model says is believed before `read_opinion` has read it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

from pdp.core.digest import Json
from pdp.core.judge.judge_input import OK, JudgeInput, Opinion, Rendered
from pdp.core.judge.prompt import PromptSet, UnknownPrompt
from pdp.core.judge.render import render
from pdp.core.judge.verdict import read_opinion
from pdp.judge.cache import CrowdedError, Key, Verdicts
from pdp.judge.connection import Connection
from pdp.judge.options import JudgeOptions
from pdp.judge.session_result import SessionResult
from pdp.ports import Entropy
from pdp.ports.telemetry import SILENT, Telemetry

log = logging.getLogger("pdp.judge")
_NONCE_BYTES = 16
_MICROS = 1_000_000


class Prompts(Protocol):
    """Prompts in use (`prompts.LoadedPrompts`)."""

    @property
    def current(self) -> PromptSet: ...

    def digests(self) -> Mapping[str, str]: ...

    def reload(self) -> tuple[str, ...]: ...


class Process(Protocol):
    """A judge's process (`process.Keeper`)."""

    def begin(self) -> None: ...

    async def connection(self, within_s: float) -> Connection | None: ...

    def status(self) -> Mapping[str, Json]: ...

    async def close(self) -> None: ...


class JudgeLink:
    """Implements `ports.Judge`. `monotonic` is in seconds."""

    def __init__(
        self,
        options: JudgeOptions,
        prompts: Prompts,
        process: Process,
        *,
        entropy: Entropy,
        monotonic: Callable[[], float],
        telemetry: Telemetry = SILENT,
    ) -> None:
        self._options, self._prompts, self._process = options, prompts, process
        self._entropy, self._monotonic, self._telemetry = entropy, monotonic, telemetry
        sessions = options.max_queued + options.max_concurrent
        self._missed: set[str] = set()  # prompts that are not there; each is told of once
        own = max(
            1, int(options.max_queued * options.tenant_share) + int(options.max_concurrent * options.tenant_share)
        )
        self._verdicts = Verdicts(options.cache_seconds, options.cache_entries, sessions, own, monotonic)

    def begin(self) -> None:
        """Start the judge's process, or look for it, without waiting. Inside a running loop."""
        self._process.begin()

    def prompts(self) -> Mapping[str, str]:
        return self._prompts.digests()

    async def opine(self, tenant: str, prompt: str, matter: JudgeInput, *, within_s: float) -> Opinion:
        """See `ports.Judge.opine`."""
        began = self._monotonic()
        opinion = await self._opine(tenant, prompt, matter, within_s)
        self._tell(opinion, self._monotonic() - began)
        return opinion

    def status(self) -> Mapping[str, Json]:
        """See `ports.Judge.status`."""
        return {
            "endpoint": self._options.endpoint,
            "model": self._options.model,
            "sessions": self._verdicts.under_way,
            "prompts": dict(self.prompts()),
            **self._process.status(),
        }

    async def reload(self) -> tuple[str, ...]:
        return await asyncio.to_thread(self._prompts.reload)

    async def close(self) -> None:
        await self._verdicts.close()
        await self._process.close()

    async def _opine(self, tenant: str, prompt: str, matter: JudgeInput, within_s: float) -> Opinion:
        if not self._options.allowed_data.permits(tenant, matter):
            return Opinion("withheld", model=self._options.model)
        nonce = self._entropy.bytes(_NONCE_BYTES).hex()
        try:  # in a thread: somebody's long text takes tenths of a second, and holds no other call up
            rendered = await asyncio.to_thread(render, self._prompts.current, prompt, matter, nonce)
        except UnknownPrompt:
            if prompt not in self._missed:  # a veto that is never spoken looks like one that never had to be
                self._missed.add(prompt)
                log.error(
                    "policy wants the prompt %r, which is not loaded: whatever asks for it gets no verdict", prompt
                )
            return Opinion("prompt", model=self._options.model)
        key = Key(tenant, rendered.seen_sha256, self._options.model, self._options.url)
        try:
            return await self._verdicts.get(key, lambda: self._session(tenant, rendered, within_s), within_s)
        except CrowdedError:
            return self._read(SessionResult("overloaded"), rendered)
        except TimeoutError:
            return self._read(SessionResult("timeout"), rendered)

    async def _session(self, tenant: str, rendered: Rendered, within_s: float) -> Opinion:
        began = self._monotonic()
        connection = await self._process.connection(within_s)
        if connection is None:
            return self._read(SessionResult("unavailable"), rendered)
        left = max(0.0, within_s - (self._monotonic() - began))
        said = await connection.ask(tenant, rendered, left)
        if said.cost_micros:
            self._telemetry.measure("pdp.judge.cost", said.cost_micros / _MICROS)
        return self._read(said, rendered)

    def _read(self, said: SessionResult, rendered: Rendered) -> Opinion:
        model = said.model or self._options.model
        read = (
            read_opinion(said.text, said.finish, rendered, model)
            if said.answered
            else Opinion(said.status, model=model, prompt_sha256=rendered.prompt_sha256)
        )
        return replace(read, tokens_in=said.tokens_in, tokens_out=said.tokens_out, latency_ms=said.latency_ms)

    def _tell(self, opinion: Opinion, seconds: float) -> None:
        telemetry = self._telemetry
        verdict = opinion.verdict if opinion.status == OK and opinion.verdict else "none"
        attributes = {"pdp.judge.status": opinion.status, "pdp.judge.verdict": verdict}
        telemetry.count("pdp.judge.opinions", {**attributes, "pdp.judge.cached": opinion.cached})
        telemetry.measure("pdp.judge.duration", seconds, {"pdp.judge.status": opinion.status})
        for direction, tokens in (("input", opinion.tokens_in), ("output", opinion.tokens_out)):
            if tokens:
                telemetry.measure("pdp.judge.tokens", tokens, {"pdp.judge.direction": direction})
