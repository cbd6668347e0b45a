"""The loop of DESIGN section 1: facts, Rego, gather evidence for the opened stage, Rego again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pdp.core.decide import conclude, question
from pdp.core.digest import Json
from pdp.core.errors import EngineFault, Unavailable
from pdp.core.evidence import Evidence, well_formed
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
    """Evaluate, and while something is open and can be answered at once, evaluate again with the answer.

    Evidence that cannot be had, or is none, denies: what it would have said is not known.
    """

    async def weigh(evidence: tuple[Evidence, ...]) -> Evaluated:
        sound = tuple(element for element in evidence if well_formed(element))
        made = await evaluate(policy, facts, at_ns, evidence=sound, supported=supported)
        if len(sound) == len(evidence):
            return made
        return _denied(made, "evidence.malformed", "An answer to a requirement is not in the form of one.")

    if not facts.call_digest:
        return await weigh(())
    found: Evaluated | None = None
    try:
        found = await weigh(await source.known(facts.call_digest, at_ns))
        for _ in range(MAX_ROUNDS):
            if found.outcome.effect is not Effect.PENDING:
                break
            fresh = await source.gather(facts.call_digest, found.outcome.requirements, at_ns)
            if not fresh:
                break
            found = await weigh((*found.evidence, *fresh))
    except Unavailable as fault:
        return _denied(found or await weigh(()), fault.code, fault.message)
    return found


def _denied(found: Evaluated, code: str, message: str) -> Evaluated:
    """The same evaluation, denied; a denial by policy keeps its own reasons."""
    if found.outcome.effect is Effect.DENY:
        return found
    return replace(found, outcome=denied(code, message))


class Nobody:
    """The evidence source until people and the judge are there: nothing is ever answered."""

    async def known(self, _call_digest: str, _at_ns: int, /) -> tuple[Evidence, ...]:
        return ()

    async def gather(
        self, _call_digest: str, _opened: tuple[Mapping[str, Json], ...], _at_ns: int, /
    ) -> tuple[Evidence, ...]:
        return ()
