"""How the judge's process comes to an answer: a budget, a place, then requests until one is answered or time is
up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from pdp.core.digest import Json
from pdp.core.judge.judge_input import OK, Opinion, Rendered
from pdp.core.judge.tokens import tokens
from pdp.core.judge.verdict import read_opinion, repairable, supersedes
from pdp.fair_limiter import FairQueue, OverloadedError
from pdp.judge.breaker import Breaker, State
from pdp.judge.budget import Budgets
from pdp.judge.limits import Throttle
from pdp.judge.options import JudgeOptions
from pdp.judge.response import MAX_TOKENS, Attempt, EndpointError, Reply
from pdp.judge.session_result import MAX_TEXT, SessionResult

_BACKOFF_SECONDS, _LONGEST_SECONDS = 0.5, 15.0
_WORST_FIRST = (State.OPEN, State.TRIAL)


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


@dataclass(frozen=True, slots=True)
class _Line:
    """How the endpoint takes what one tenant sends it. What fails may fail for that tenant's data alone: so none is
    kept waiting by another's failures. All together are bounded by the places that they share."""

    breaker: Breaker
    throttle: Throttle


class SessionRunner:
    """All sessions of one process."""

    def __init__(self, options: JudgeOptions, model: Model, ambience: Ambience) -> None:
        self._options, self._model, self._ambience = options, model, ambience
        self._turns = FairQueue(options.max_concurrent, options.max_queued, options.tenant_share)
        self._lines: dict[str, _Line] = {}
        self._budgets = Budgets(options, ambience.wall)

    async def hold(self, tenant: str, rendered: Rendered, within_s: float) -> SessionResult:
        """One session. Never raises, unless it is cancelled."""
        began = self._ambience.monotonic()
        until = began + min(within_s, self._options.verdict_seconds)
        sitting = _Sitting(tenant, rendered, until, self._line(tenant))
        expected_in = tokens(rendered.system) + tokens(rendered.user)
        expected_out = int(str(rendered.settings.get("max_tokens", MAX_TOKENS)))
        reserved = self._budgets.reserve(tenant, expected_in, expected_out)
        if reserved is None:
            return SessionResult("budget", model=self._options.model)
        status = "timeout"
        try:
            async with asyncio.timeout(sitting.until - began):
                status = await self._attempts(sitting, expected_in + expected_out)
        except TimeoutError:
            status = "timeout"
        finally:
            cost = self._budgets.settle(reserved, sitting.tokens_in, sitting.tokens_out)
        took = int((self._ambience.monotonic() - began) * 1000)
        return replace(sitting.said(status, self._options.model), cost_micros=cost, latency_ms=took)

    def state(self) -> Mapping[str, Json]:
        """How things stand. `breaker` is the worst of any tenant's."""
        states = {line.breaker.state for line in self._lines.values()}
        worst = next((state for state in _WORST_FIRST if state in states), State.CLOSED)
        return {
            "breaker": worst.value,
            "running": self._turns.running,
            "waiting": self._turns.waiting,
            "used_today": dict(self._budgets.status()),
        }

    def _line(self, tenant: str) -> _Line:
        """Tenants are those of callers in the configuration, so there are not more and more of them."""
        if (found := self._lines.get(tenant)) is None:
            options, clock = self._options, self._ambience.monotonic
            breaker = Breaker(options.breaker_failures, options.breaker_seconds, clock)
            found = self._lines[tenant] = _Line(breaker, Throttle(clock))
        return found

    async def _attempts(self, sitting: _Sitting, size: int) -> str:
        """Requests until one is answered, or is not worth repeating: the status."""
        failures = 0
        while True:
            found = await self._next(sitting, size)
            if isinstance(found, Reply):
                if repairable(sitting.opinion(found)):
                    await self._repair(sitting, size, found)
                return OK
            failures += 1
            if not found.again or failures > self._options.retries or not await self._pause(sitting, failures):
                return found.status

    async def _repair(self, sitting: _Sitting, size: int, first: Reply) -> None:
        """Ask once more for the form. The first answer stands unless the second may take its place."""
        second = await self._next(sitting, size, repair=True)
        if not isinstance(second, Reply) or not supersedes(
            sitting.opinion(second), first.text, first.finish, sitting.rendered
        ):
            sitting.last = first

    async def _next(self, sitting: _Sitting, size: int, *, repair: bool = False) -> Reply | EndpointError:
        """One request, when the endpoint may be asked at all. Whoever has to leave it alone takes nobody's place."""
        while await self._clear(sitting, size):
            try:
                async with self._turns.place(sitting.tenant):
                    if sitting.line.throttle.wait_s(size) > 0:
                        continue  # it was told so by now
                    if not sitting.line.breaker.admits():
                        return EndpointError("breaker_open")
                    return await self._attempt(sitting, repair=repair)
            except OverloadedError:
                return EndpointError("overloaded")
        return EndpointError("rate_limited")

    async def _attempt(self, sitting: _Sitting, *, repair: bool) -> Reply | EndpointError:
        left = sitting.until - self._ambience.monotonic()
        try:
            attempt = await self._model.ask(
                sitting.rendered, max(0.0, min(left, self._options.attempt_seconds)), repair=repair
            )
        except BaseException:  # cancelled: it says nothing about the endpoint, but what was sent was sent
            sitting.line.breaker.released()
            sitting.sent()
            raise
        sitting.line.throttle.told(attempt.limits)
        match attempt.found:
            case Reply():
                sitting.line.breaker.succeeded()
                sitting.heard(attempt.found)
            case EndpointError(status, _, ill):
                (sitting.line.breaker.failed if ill else sitting.line.breaker.released)()
                if status == "timeout":  # it was read all the same
                    sitting.sent()
        return attempt.found

    async def _clear(self, sitting: _Sitting, size: int) -> bool:
        """Wait as long as the provider wants. False when that is longer than there is."""
        while (wait := sitting.line.throttle.wait_s(size)) > 0:
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

    def __init__(self, tenant: str, rendered: Rendered, until: float, line: _Line) -> None:
        self.tenant, self.rendered, self.until, self.line = tenant, rendered, until, line
        self.tokens_in = self.tokens_out = 0
        self.last: Reply | None = None  # the answer that stands

    def heard(self, reply: Reply) -> None:
        """Count what a reply cost; estimated where the endpoint does not count."""
        self.last = reply
        self.tokens_in += self._estimated_in() if reply.tokens_in is None else reply.tokens_in
        self.tokens_out += tokens(reply.text) if reply.tokens_out is None else reply.tokens_out

    def sent(self) -> None:
        """A request went out whose reply nobody heard."""
        self.tokens_in += self._estimated_in()

    def opinion(self, reply: Reply) -> Opinion:
        return read_opinion(reply.text, reply.finish, self.rendered, reply.model)

    def said(self, status: str, model: str) -> SessionResult:
        """What goes to the decision process."""
        counted = SessionResult(status, model=model, tokens_in=self.tokens_in, tokens_out=self.tokens_out)
        if status != OK or self.last is None:
            return counted
        last = self.last
        return replace(counted, text=last.text[:MAX_TEXT], finish=last.finish[:64], model=last.model or model)

    def _estimated_in(self) -> int:
        return tokens(self.rendered.system) + tokens(self.rendered.user)
