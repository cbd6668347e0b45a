"""Requests that are evaluated as if they were asked: for searches. They change nothing; one record counts them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from pdp.core.call.facts import Identity
from pdp.core.call.request import Ask, Caller, Credential
from pdp.core.errors import Overloaded
from pdp.core.outcome import Effect
from pdp.core.record.events import Explained
from pdp.decide.admission import require_server
from pdp.decide.decision import Decision
from pdp.decide.explain import Explain
from pdp.decide.state import Snapshot
from pdp.host.fair_limiter import OverloadedError

TOGETHER = 16  # evaluated at once


@dataclass(frozen=True, slots=True)
class Supposition:
    """Whether each of several requests would be allowed now, made of the same steps as a supposed explanation. One
    tenant has one search under way."""

    explain: Explain

    async def __call__(
        self, asks: Sequence[Ask], caller: Caller, server: str, target: str, most: int
    ) -> tuple[bool, ...]:
        """For each request in order, until `most` are allowed; the record is durable when this returns.

        Raises Forbidden, InvalidRequest, Overloaded, Unavailable.
        """
        require_server(caller, server)
        try:
            async with self.explain.turns.place(caller.tenant):
                snapshot = self.explain.state.snapshot()
                found: list[bool] = []
                async for allowed in self._each(asks, caller, snapshot):
                    found.append(allowed)
                    if sum(found) == most:
                        break
        except OverloadedError:
            raise Overloaded("search.busy", "Too many searches wait already; ask again shortly.") from None
        effect = Effect.ALLOW if any(found) else Effect.DENY
        made = Explained(
            caller=caller.name,
            decision="",
            server=server,
            target=target,
            effect=effect.value,
            policy_digest=snapshot.policy.digest,
            reproduced=None,
            evaluations=len(found),
        )
        await self.explain.recorder.explained(caller.tenant, made, self.explain.clock.now_ns())
        return tuple(found)

    async def _each(self, asks: Sequence[Ask], caller: Caller, snapshot: Snapshot) -> AsyncIterator[bool]:
        at_ns, known = self.explain.clock.now_ns(), dict[tuple[Credential, str], Identity]()
        for start in range(0, len(asks), TOGETHER):
            self.explain.kills.check(caller, at_ns)
            some = asks[start : start + TOGETHER]
            for ask in some:
                key = ask.credential, ask.target.server
                if key not in known:
                    known[key] = await self.explain.facts.identity(
                        ask.credential, caller, ask.target.server, snapshot.registry, at_ns
                    )
            for allowed in await asyncio.gather(*(self._one(ask, caller, snapshot, at_ns, known) for ask in some)):
                yield allowed

    async def _one(
        self,
        ask: Ask,
        caller: Caller,
        snapshot: Snapshot,
        at_ns: int,
        known: Mapping[tuple[Credential, str], Identity],
    ) -> bool:
        decision = Decision(ask, caller, known[ask.credential, ask.target.server], snapshot, at_ns)
        await self.explain.suppose(decision)
        self.explain.kills.note(caller, decision.outcome, at_ns)
        return decision.outcome.effect is Effect.ALLOW
