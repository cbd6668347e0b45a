"""What would this policy change? Recorded decisions under two policies, as all commands compare them.

A decision is evaluated on the document that it was made of, evidence included; only what the document says of the
policy is the other one's. Facts that another answer would have changed (counters of the session, refusals) are as
they were. Whom a policy would ask is found without the evidence of people, which would be asked for again. Each of
the two sides is what was recorded, the policy of the decision's own bundle, or a policy that is given. A deadline is
generous: whether a machine is fast enough now says nothing of the decision.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from typing import Any, TypeAlias

from pdp.core.check import NS
from pdp.core.errors import BundleFault, ConfigurationFault, EngineFault
from pdp.core.outcome import Effect
from pdp.core.outcome.evidence import answer
from pdp.core.outcome.forecast import asks_people
from pdp.core.outcome.policy import Bundle
from pdp.core.ports import Entropy, LoadedPolicy
from pdp.decide.evaluate import MAX_ROUNDS
from pdp.decide.replay import (
    NOT_REPLAYABLE,
    ComparedAnswer,
    NotReplayable,
    Opened,
    RecordedDecision,
    by_service,
    failed,
    opened,
    parsed,
    reevaluated,
    under,
)
from pdp.policy.bundle import named_by_digest
from pdp.policy.embedded.engine import EngineHost
from pdp.policy.embedded.options import EmbeddedOptions, PoolOptions
from pdp.policy.gate import process
from pdp.policy.opa.options import OpaOptions
from pdp.policy.source import OTHER_RELEASE, Host, KeptBundles, deciding_host

DEADLINE_MS = 30_000
ENGINES = 3  # that are kept up; each is a process or more
TOGETHER = 64  # decisions that are evaluated at once
ASKED_AGAIN = frozenset({"approval", "confirmation"})  # kinds whose evidence is for one call
_OPA_NEEDED = "--engine opa: there is no such program; give --opa PATH."
Rows: TypeAlias = Iterable[tuple[bytes, Opened]]
Decisions: TypeAlias = Iterable[tuple[Mapping[str, Any], RecordedDecision | NotReplayable]]
Stages: TypeAlias = tuple[tuple[Mapping[str, Any], ...], ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one side says of a decision. `stages` are the requirements of people that it would open one after the
    other; `judge`: it would ask one that was not asked, and what follows is not known."""

    answer: ComparedAnswer
    failed: bool = False  # it could not evaluate, and so denies
    stages: Stages | None = None  # None: nobody wanted to know, or it is what was recorded
    judge: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """One decision, by its record, and the document that it was made of; empty where there is none to evaluate. A
    side is `NotReplayable` where its policy could not be asked."""

    record: Mapping[str, Any]
    document: bytes
    before: Side | NotReplayable
    after: Side | NotReplayable

    @property
    def sides(self) -> tuple[Side, Side] | NotReplayable:
        """Both, or why they cannot be compared."""
        if isinstance(self.before, NotReplayable):
            return self.before
        return self.after if isinstance(self.after, NotReplayable) else (self.before, self.after)


def decisions(rows: Rows) -> Decisions:
    """The decisions of records."""
    for data, values in rows:
        record = parsed(data)
        yield record, recorded(record, values)


def recorded(record: Mapping[str, Any], values: Opened) -> RecordedDecision | NotReplayable:
    """The decision of a record; one that the service made beside policy cannot be evaluated."""
    found = opened(record, values)
    if isinstance(found, RecordedDecision) and by_service(record):
        return NotReplayable("replay.service")
    return found


async def compare(
    rows: Decisions, before: LoadedPolicy | None, after: LoadedPolicy | Policies, *, people: bool = False
) -> AsyncIterator[Compared]:
    """Each decision under two policies, in order; `before` is None for what was recorded. `people`: also whom each
    policy would ask. Neighbours of one bundle are evaluated at once."""

    async def side(of: LoadedPolicy | Policies, decision: RecordedDecision) -> Side | NotReplayable:
        policy = await of.of(decision) if isinstance(of, Policies) else of
        if isinstance(policy, NotReplayable):
            return policy
        try:
            return await _side(policy, decision, people=people)
        except EngineFault as fault:
            return NotReplayable("replay.schema" if fault.code == "policy.input" else "replay.engine")

    async def compared(record: Mapping[str, Any], decision: RecordedDecision | NotReplayable) -> Compared:
        if isinstance(decision, NotReplayable):
            return Compared(record, b"", decision, decision)
        then = Side(ComparedAnswer.recorded(record)) if before is None else await side(before, decision)
        return Compared(record, decision.document, then, await side(after, decision))

    for chunk in _chunks(rows):
        for each in await asyncio.gather(*(compared(record, decision) for record, decision in chunk)):
            yield each


def _chunks(rows: Decisions) -> Iterator[list[tuple[Mapping[str, Any], RecordedDecision | NotReplayable]]]:
    for _, those in groupby(rows, lambda row: row[0].get("policy")):
        while chunk := list(islice(those, TOGETHER)):
            yield chunk


async def _side(policy: LoadedPolicy, decision: RecordedDecision, *, people: bool) -> Side:
    """Raises EngineFault."""
    document, stages = under(policy, decision.document), list[tuple[Mapping[str, Any], ...]]()
    outcome = await reevaluated(policy, document, decision.supported)
    side = Side(ComparedAnswer.of(outcome), failed(outcome))
    if not people:
        return side
    kept = [each for each in document["evidence"] if each["kind"] not in ASKED_AGAIN]
    if len(kept) != len(document["evidence"]):
        outcome = await reevaluated(policy, {**document, "evidence": kept}, decision.supported)
    while outcome.effect is Effect.PENDING and asks_people(outcome.requirements) and len(stages) < MAX_ROUNDS:
        stages.append(outcome.requirements)
        call, until_ns = document["call"]["digest"], document["time"]["ns"] + NS
        kept += [answer(each, call, "met", until_ns) for each in outcome.requirements]
        outcome = await reevaluated(policy, {**document, "evidence": kept}, decision.supported)
    return replace(side, stages=tuple(stages), judge=outcome.effect is Effect.PENDING)


async def replayed(rows: Decisions, kept: Policies) -> AsyncIterator[tuple[Mapping[str, Any], str | NotReplayable]]:
    """Each decision under the policy that it was recorded with: a sentence on the first thing that is not as it was
    recorded; "" where all of it is."""
    async for each in compare(rows, None, kept):
        sides = each.sides
        if isinstance(sides, tuple) and sides[1].failed:
            sides = NotReplayable("replay.engine")
        yield each.record, sides if isinstance(sides, NotReplayable) else _difference(*sides)


def _difference(before: Side, after: Side) -> str:
    then, now = before.answer, after.answer
    if then.effect != now.effect:
        return f"it comes to {now.effect}, and {then.effect} was recorded"
    codes = [", ".join(sorted({code for code, _ in each.reasons})) for each in (now, then)]
    if codes[0] != codes[1]:
        return f"the reasons are {codes[0]}, and {codes[1]} were recorded"
    return "requirements or obligations are others than were recorded" if then != now else ""


@dataclass(slots=True)
class Policies:
    """Policies as they were recorded, each on an engine of its own. `artefact` gives a bundle by digest, None for one
    that is not there."""

    host: Host
    artefact: Callable[[str], bytes | None]
    guarded: bool  # whether a bundle must pass the load gate first: this engine would let it call out
    _open: dict[tuple[str, str], LoadedPolicy | NotReplayable] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, decision: RecordedDecision) -> LoadedPolicy | NotReplayable:
        """The policy of a decision."""
        key = (str(decision.record["policy"]["digest"]), str(decision.record["policy"]["revision"]))
        async with self._opening:
            if key not in self._open:
                found = await self._opened(*key)
                if len(self._open) >= ENGINES:
                    closed = self._open.pop(next(iter(self._open)))
                    if isinstance(closed, LoadedPolicy):
                        await closed.engine.close()
                self._open[key] = found
            return self._open[key]

    async def _opened(self, digest: str, revision: str) -> LoadedPolicy | NotReplayable:
        data = self.artefact(digest)
        if data is None:
            return NotReplayable("replay.policy")
        try:
            bundle = named_by_digest(data, digest, revision)
        except BundleFault:
            return NotReplayable("replay.bundle")
        return await self.load(bundle)

    async def load(self, bundle: Bundle) -> LoadedPolicy | NotReplayable:
        """The policy of a bundle; its engine ends with this."""
        if self.guarded and bundle.one_step:
            return NotReplayable("replay.release")
        if self.guarded and not (await asyncio.to_thread(process.check, bundle)).ok:
            return NotReplayable("replay.gate")
        try:
            return await KeptBundles(self.host).open(bundle.to_bytes())
        except (BundleFault, EngineFault) as fault:
            return NotReplayable("replay.release" if fault.code == OTHER_RELEASE else "replay.engine")


def embedded(workers: int = EmbeddedOptions().workers) -> Host:
    """A host of the embedded engine."""
    pool = PoolOptions(deadline_ms=DEADLINE_MS, patience_ms=2 * DEADLINE_MS)
    return EngineHost(EmbeddedOptions(pool=pool, workers=workers))


def chosen(engine: str, opa: str | None, entropy: Entropy) -> Callable[[], Host]:
    """What makes hosts of the `engine`: "embedded", or "opa" with its program. Raises ConfigurationFault
    `engine.binary`."""
    if engine != "opa":
        return embedded
    found = shutil.which(opa or "opa")
    if found is None:
        raise ConfigurationFault("engine.binary", _OPA_NEEDED)
    options = OpaOptions.model_validate({"binary": found, "deadline_ms": DEADLINE_MS})
    return lambda: deciding_host(options, EmbeddedOptions(), entropy, b"", 1.0, lambda _: None)


@asynccontextmanager
async def policies(
    artefact: Callable[[str], bytes | None], host: Callable[[], Host] = embedded
) -> AsyncIterator[Policies]:
    """Policies on a host of their own."""
    made = host()
    try:
        yield Policies(made, artefact, guarded=not isinstance(made, EngineHost))
    finally:
        await made.close()


@asynccontextmanager
async def loaded(bundle: Bundle, host: Callable[[], Host] = embedded) -> AsyncIterator[LoadedPolicy]:
    """A policy on an engine of its own. Raises ConfigurationFault where that cannot evaluate it."""
    async with policies(lambda _: None, host) as kept:
        made = await kept.load(bundle)
        if isinstance(made, NotReplayable):
            raise ConfigurationFault(made.code, NOT_REPLAYABLE[made.code])
        yield made
