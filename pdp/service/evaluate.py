"""The loop of DESIGN section 1: facts, Rego, gather evidence for the opened stage, Rego again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pdp.core.decide import conclude, question
from pdp.core.digest import Json
from pdp.core.errors import EngineFault
from pdp.core.evidence import Evidence
from pdp.core.facts import Facts
from pdp.core.outcome import Effect, Outcome, denied
from pdp.ports import EvidenceSource, LoadedPolicy

log = logging.getLogger("pdp.policy")
MAX_ROUNDS = 8  # stages that can be answered at once within one call


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An outcome with what it was made of, for the record."""

    outcome: Outcome
    document: bytes
    evidence: tuple[Evidence, ...]


async def evaluate(
    policy: LoadedPolicy,
    facts: Facts,
    at_ns: int,
    *,
    evidence: tuple[Evidence, ...] = (),
    supported: frozenset[str] = frozenset(),
) -> Evaluated:
    """Ask the engine once. An engine that fails, in whatever way, denies."""
    document = b""
    try:
        asked = question(facts, evidence, at_ns, revision=policy.revision, packs=policy.packs, valid=policy.valid)
        document = asked.document
        outcome = conclude(asked, await policy.engine.evaluate(asked), supported)
    except EngineFault as fault:
        outcome = denied(fault.code, "The policy could not be evaluated; the operator's log says why.")
        # the alarm: whatever reaches this is a fault of the policy or of ours, never of the caller
        log.error("%s: bundle %s: %s %s", fault.code, policy.digest[:12], fault.message, fault.detail)
    return Evaluated(outcome, document, evidence)


async def settle(
    policy: LoadedPolicy, facts: Facts, at_ns: int, *, source: EvidenceSource, supported: frozenset[str]
) -> Evaluated:
    """Evaluate, and while something is open and can be answered at once, evaluate again with the answer."""
    known = await source.known(facts.call_digest, at_ns) if facts.call_digest else ()
    found = await evaluate(policy, facts, at_ns, evidence=known, supported=supported)
    for _ in range(MAX_ROUNDS):
        if found.outcome.effect is not Effect.PENDING or not facts.call_digest:
            return found
        fresh = await source.gather(facts.call_digest, found.outcome.requirements, at_ns)
        if not fresh:
            return found
        found = await evaluate(policy, facts, at_ns, evidence=(*found.evidence, *fresh), supported=supported)
    return found


class Nobody:
    """The evidence source until people and the judge are there: nothing is ever answered."""

    async def known(self, _call_digest: str, _at_ns: int, /) -> tuple[Evidence, ...]:
        return ()

    async def gather(
        self, _call_digest: str, _opened: tuple[Mapping[str, Json], ...], _at_ns: int, /
    ) -> tuple[Evidence, ...]:
        return ()
