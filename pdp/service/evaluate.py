"""The loop of DESIGN section 1: facts, Rego, gather evidence for the opened stage, Rego again."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from pdp.core.approvals.call import CallContext, SourcedEvidence
from pdp.core.errors import EngineFault, Unavailable
from pdp.core.evidence import Evidence, well_formed
from pdp.core.facts import Facts
from pdp.core.outcome import Effect, Outcome, conclude, denied, question
from pdp.ports import EvidenceSource, LoadedPolicy

log = logging.getLogger("pdp.policy")
MAX_ROUNDS = 8  # stages that can be answered at once within one call


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An outcome with what it was made of, for the record."""

    outcome: Outcome
    document: bytes
    held: tuple[SourcedEvidence, ...] = ()

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """The elements alone."""
        return tuple(held.element for held in self.held)


async def evaluate(
    policy: LoadedPolicy,
    facts: Facts,
    at_ns: int,
    *,
    held: tuple[SourcedEvidence, ...] = (),
    supported: frozenset[str] = frozenset(),
) -> Evaluated:
    """Ask the engine once. Any failure of the engine denies."""
    document = b""
    evidence = tuple(each.element for each in held)
    try:
        asked = question(facts, evidence, at_ns, revision=policy.revision, packs=policy.packs, valid=policy.valid)
        document = asked.document
        outcome = conclude(asked, await policy.engine.evaluate(asked), supported)
    except EngineFault as fault:
        outcome = denied(fault.code, "The policy could not be evaluated; the operator's log says why.")
        # an alarm: a fault of the policy or of the PDP, never of the caller
        log.error("%s: bundle %s: %s %s", fault.code, policy.digest[:12], fault.message, fault.detail)
    return Evaluated(outcome, document, held)


async def settle(
    policy: LoadedPolicy,
    facts: Facts,
    at_ns: int,
    *,
    asked: CallContext | None,
    source: EvidenceSource,
    supported: frozenset[str],
) -> Evaluated:
    """Evaluate, and while something is open and can be answered at once, evaluate again with the answer.

    Evidence that cannot be had, or is none, denies: what it would have said is not known. `asked` is None for a call
    without a digest, for which nobody can answer.
    """

    async def weigh(found: tuple[SourcedEvidence, ...]) -> Evaluated:
        sound = tuple(each for each in found if well_formed(each.element))
        made = await evaluate(policy, facts, at_ns, held=sound, supported=supported)
        if len(sound) == len(found):
            return made
        return _denied(made, "evidence.malformed", "An answer to a requirement is not in the form of one.")

    if asked is None:
        return await weigh(())
    found: Evaluated | None = None
    try:
        found = await weigh(await source.known(asked, at_ns))
        before: Outcome | None = None
        for _ in range(MAX_ROUNDS):
            # after answers that answer nothing the same would be asked again and again
            if found.outcome.effect is not Effect.PENDING or found.outcome == before:
                break
            fresh = await source.gather(asked, found.outcome.requirements, at_ns)
            if not fresh:
                break
            before, found = found.outcome, await weigh((*found.held, *fresh))
    except Unavailable as fault:
        return _denied(found or await weigh(()), fault.code, fault.message)
    return found


def _denied(found: Evaluated, code: str, message: str) -> Evaluated:
    """The same evaluation, denied; a denial by policy keeps its own reasons."""
    if found.outcome.effect is Effect.DENY:
        return found
    return replace(found, outcome=denied(code, message))
