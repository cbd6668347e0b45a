"""How the judge's process comes to an answer: a budget, a place, then requests until one is answered or time is
up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from pdp.core.digest import Json
from pdp.core.judge.matter import OK, Opinion, Rendered
from pdp.core.judge.tokens import tokens
from pdp.core.judge.verdict import read_opinion, repairable
from pdp.judge.breaker import Breaker
from pdp.judge.budget import Budgets
from pdp.judge.limits import Throttle
from pdp.judge.options import JudgeOptions
from pdp.judge.reading import MAX_TOKENS, Attempt, Reply, Trouble
from pdp.judge.said import MAX_TEXT, Said
from pdp.judge.schedule import OverloadedError, Schedule

_BACKOFF_SECONDS, _LONGEST_SECONDS = 0.5, 15.0


class Model(Protocol):
    """An endpoint (`endpoint.Endpoint`)."""

    async def ask(self, rendered: Rendered, seconds: float, *, repair: bool = False) -> Attempt: ...


@dataclass(frozen=True, slots=True)
class Ambience:
    """Seconds of a clock that only goes on; Unix time in nanoseconds; numbers from 0 to 1 by chance; sleep."""

    monotonic: Callable[[], float]
    wall: Callable[[], int]
    chance: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Sittings:
    """All sessions of one process."""

    def __init__(self, options: JudgeOptions, model: Model, ambience: Ambience) -> None:
        self._options, self._model, self._ambience = options, model, ambience
        self._schedule = Schedule(options.max_concurrent, options.max_queued, options.tenant_share)
        self._breaker = Breaker(options.breaker_failures, options.breaker_seconds, ambience.monotonic)
        self._throttle = Throttle(ambience.monotonic)
        self._budgets = Budgets(options, ambience.wall)

    async def hold(self, tenant: str, rendered: Rendered, within_s: float) -> Said:
        """One session. Never raises, unless it is cancelled."""
        began = self._ambience.monotonic()
        sitting = _Sitting(rendered, began + min(within_s, self._options.verdict_seconds))
        expected_in = tokens(rendered.system) + tokens(rendered.user)
        expected_out = int(str(rendered.settings.get("max_tokens", MAX_TOKENS)))
        reserved = self._budgets.reserve(tenant, expected_in, expected_out)
        if reserved is None:
            return Said("budget", model=self._options.model)
        status = "timeout"
        try:
            async with asyncio.timeout(sitting.until - began), self._schedule.place(tenant):
                status = await self._attempts(sitting, expected_in + expected_out)
        except TimeoutError:
            status = "timeout"
        except OverloadedError:
            status = "overloaded"
        finally:
            cost = self._budgets.settle(reserved, sitting.tokens_in, sitting.tokens_out)
        took = int((self._ambience.monotonic() - began) * 1000)
        return replace(sitting.said(status, self._options.model), cost_micros=cost, latency_ms=took)

    def state(self) -> Mapping[str, Json]:
        """How things stand."""
        return {
            "breaker": self._breaker.state.value,
            "running": self._schedule.running,
            "waiting": self._schedule.waiting,
            "used_today": dict(self._budgets.status()),
        }

    async def _attempts(self, sitting: _Sitting, size: int) -> str:
        """Requests until one is answered, or is not worth repeating: the status."""
        failures = 0
        while True:
            found = await self._next(sitting, size)
            if isinstance(found, Reply):
                if repairable(sitting.opinion(found)):  # once; when it comes to nothing the first answer stands
                    await self._next(sitting, size, repair=True)
                return OK
            failures += 1
            if not found.again or failures > self._options.retries or not await self._pause(sitting, failures):
                return found.status

    async def _next(self, sitting: _Sitting, size: int, *, repair: bool = False) -> Reply | Trouble:
        """One request, when the endpoint may be asked at all."""
        if not await self._clear(sitting, size):
            return Trouble("rate_limited")
        if not self._breaker.admits():
            return Trouble("breaker_open")
        return await self._attempt(sitting, repair=repair)

    async def _attempt(self, sitting: _Sitting, *, repair: bool) -> Reply | Trouble:
        left = sitting.until - self._ambience.monotonic()
        try:
            attempt = await self._model.ask(
                sitting.rendered, max(0.0, min(left, self._options.attempt_seconds)), repair=repair
            )
        except BaseException:  # cancelled: it says nothing about the endpoint, but what was sent was sent
            self._breaker.released()
            sitting.sent()
            raise
        self._throttle.told(attempt.limits)
        match attempt.found:
            case Reply():
                self._breaker.succeeded()
                sitting.heard(attempt.found)
            case Trouble(status, _, ill):
                (self._breaker.failed if ill else self._breaker.released)()
                if status == "timeout":  # it was read all the same
                    sitting.sent()
        return attempt.found

    async def _clear(self, sitting: _Sitting, size: int) -> bool:
        """Wait as long as the provider wants. False when that is longer than there is."""
        while (wait := self._throttle.wait_s(size)) > 0:
            if not await self._wait(sitting, wait):
                return False
        return True

    async def _pause(self, sitting: _Sitting, failures: int) -> bool:
        """Exponential, with full jitter, so that those who failed together do not come back together."""
        longest = min(_LONGEST_SECONDS, _BACKOFF_SECONDS * 2 ** (failures - 1))
        return await self._wait(sitting, longest * self._ambience.chance())

    async def _wait(self, sitting: _Sitting, seconds: float) -> bool:
        if self._ambience.monotonic() + seconds >= sitting.until:
            return False
        await self._ambience.sleep(seconds)
        return True


class _Sitting:
    """One session under way: what it sent and heard so far. `until` is when it must be over."""

    def __init__(self, rendered: Rendered, until: float) -> None:
        self.rendered, self.until = rendered, until
        self.tokens_in = self.tokens_out = 0
        self._last: Reply | None = None

    def heard(self, reply: Reply) -> None:
        """Count what a reply cost; estimated where the endpoint does not count."""
        self._last = reply
        self.tokens_in += self._estimated_in() if reply.tokens_in is None else reply.tokens_in
        self.tokens_out += tokens(reply.text) if reply.tokens_out is None else reply.tokens_out

    def sent(self) -> None:
        """A request went out whose reply nobody heard."""
        self.tokens_in += self._estimated_in()

    def opinion(self, reply: Reply) -> Opinion:
        return read_opinion(reply.text, reply.finish, self.rendered, reply.model)

    def said(self, status: str, model: str) -> Said:
        """What goes to the decision process."""
        counted = Said(status, model=model, tokens_in=self.tokens_in, tokens_out=self.tokens_out)
        if status != OK or self._last is None:
            return counted
        last = self._last
        return replace(counted, text=last.text[:MAX_TEXT], finish=last.finish[:64], model=last.model or model)

    def _estimated_in(self) -> int:
        return tokens(self.rendered.system) + tokens(self.rendered.user)
