"""Evaluations that are no decisions: of a document as it was, or as it might have been. They change nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pdp.core import changes
from pdp.core.alternatives import alternatives
from pdp.core.approvals.asked import Asked, Held
from pdp.core.decide import Question, conclude
from pdp.core.digest import Json, sha256_hex
from pdp.core.errors import EngineFault
from pdp.core.facts import Identity, SessionFact
from pdp.core.outcome import Outcome, denied, read
from pdp.core.policy import Bundle
from pdp.core.request import Caller, SessionAsk
from pdp.ports import EvidenceSource, LoadedPolicy, Sessions

EVALUATIONS = 600  # the most that one search for changes may try
_NOBODY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Case:
    """One evaluation to be explained. `document` is empty when no policy saw one; `supported` are the kinds of
    obligations that the caller honours, None for all."""

    policy: LoadedPolicy
    document: bytes
    outcome: Outcome
    supported: frozenset[str] | None


class Onlooker:
    """Sessions as they are: looking at one neither starts nor counts anything."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def look(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionFact:
        """As `peek`."""
        return self._sessions.peek(caller, identity, ask, at_ns)

    def peek(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionFact:
        """See the port."""
        return self._sessions.peek(caller, identity, ask, at_ns)

    def note(self, caller: Caller, identity: Identity, ask: SessionAsk, effect: str, at_ns: int) -> None:
        """Nothing happened."""


class Standing:
    """Evidence that is there already; nobody is asked for more."""

    def __init__(self, source: EvidenceSource) -> None:
        self._source = source

    async def known(self, asked: Asked, at_ns: int, /) -> tuple[Held, ...]:
        """See the port."""
        return await self._source.known(asked, at_ns)

    async def gather(
        self, _asked: Asked, _opened: tuple[Mapping[str, Json], ...], _at_ns: int, /
    ) -> tuple[Held, ...]:
        """Nobody."""
        return ()


async def evaluated(
    policy: LoadedPolicy, document: bytes, supported: frozenset[str] | None, advice: Mapping[str, str] = _NOBODY
) -> Outcome:
    """What the policy says of a document. Raises EngineFault."""
    told: dict[str, Any] = json.loads(document)
    keys = frozenset(target["key"] for target in told["targets"])
    asked = Question(document, sha256_hex(document), told["phase"], keys, advice)
    answer = await policy.engine.evaluate(asked)
    if supported is None:
        supported = frozenset(str(obligation["kind"]) for obligation in read(answer).obligations)
    return conclude(asked, answer, supported)


async def search(
    case: Case, document: Mapping[str, Any], bundle: Bundle, failed: Callable[[Outcome], None]
) -> changes.Found:
    """The smallest changes that would allow a denied call. An evaluation that fails ends the search: the next ones
    might cost a policy worker each. `failed` hears of it."""
    failures: list[Outcome] = []
    tries = 0

    async def tried(supposed: Mapping[str, Any]) -> Outcome:
        if not case.policy.valid(supposed):
            return denied("policy.input")
        try:
            data = json.dumps(supposed, allow_nan=False, separators=(",", ":")).encode()
            return await evaluated(case.policy, data, case.supported)
        except EngineFault as fault:
            failures.append(denied(fault.code))
            return failures[-1]

    steps = changes.search(document, case.outcome, alternatives(document, bundle), EVALUATIONS)
    outcomes: list[Outcome] | None = None
    while True:
        try:
            asked = next(steps) if outcomes is None else steps.send(outcomes)
        except StopIteration as done:
            found: changes.Found = done.value
            return found
        tries += len(asked)
        outcomes = list(await asyncio.gather(*map(tried, asked)))
        if failures:
            for outcome in failures:
                failed(outcome)
            return changes.Found((), incomplete=True, evaluations=tries)
