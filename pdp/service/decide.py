"""One decision, top to bottom: identify, look for a kept answer, establish facts, evaluate, record, answer."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.answer import Answer, PolicyRef, open_requirement
from pdp.core.facts import NS
from pdp.core.outcome import Effect, Outcome
from pdp.core.request import Ask, Caller
from pdp.ports import Clock, EvidenceSource, RecordRef, Sessions
from pdp.service.entrance import require_server
from pdp.service.establish import Establish, Established
from pdp.service.evaluate import Evaluated, settle
from pdp.service.quota import KillQuota
from pdp.service.record import Recorder, Recording
from pdp.service.repeat import Repeats
from pdp.service.state import Snapshot, State


@dataclass(frozen=True, slots=True)
class Terms:
    """How long answers hold."""

    allow_seconds: int = 10  # a call begins at once; whoever stops something wants it stopped
    list_seconds: int = 60
    retry_after_ms: int = 5_000


@dataclass(frozen=True, slots=True)
class Decide:
    """`DecisionService.Decide`."""

    state: State
    establish: Establish
    repeats: Repeats
    evidence: EvidenceSource
    recorder: Recorder
    sessions: Sessions
    clock: Clock
    kills: KillQuota
    terms: Terms

    async def __call__(self, ask: Ask, caller: Caller) -> tuple[Answer, RecordRef]:
        """Answer one request; the record is durable when this returns.

        Raises Forbidden, InvalidRequest, Overloaded, Unavailable. Everything else is an answer.
        """
        require_server(caller, ask.target.server)
        at = self.clock.now_ns()
        self.kills.check(caller, at)
        snapshot = self.state.snapshot()
        identity = await self.establish.identity(ask.credential, caller, ask.target.server, snapshot.registry, at)
        claim = self.repeats.claim(ask, caller, identity)
        async with self.repeats.alone(claim):
            kept = self.repeats.kept(claim, snapshot, at)
            if kept is not None:
                return kept, self.recorder.find(kept.decision_id)
            call = self.establish.call(ask, caller, identity, snapshot, at)
            try:
                supported = frozenset(ask.supported_obligations)
                found = await settle(snapshot.policy, call.facts, at, source=self.evidence, supported=supported)
                self.kills.note(caller, found.outcome, at)
                answer = self._answer(call, found, snapshot, at)
                reply = self.repeats.row(claim, answer, snapshot, at)
                made = Recording(ask, caller, call, found, snapshot, at, claim.content if claim else None)
                answer, ref = await self.recorder.decision(made, answer, reply)
            finally:
                self.establish.settled(call.call)
            self.sessions.note(caller, identity, ask.session, answer.effect.value, at)
            return answer, ref

    def _answer(self, call: Established, found: Evaluated, snapshot: Snapshot, at_ns: int) -> Answer:
        outcome = found.outcome
        requirements = tuple(open_requirement(r, call.facts.call_digest, at_ns) for r in outcome.requirements)
        policy = snapshot.policy
        return Answer(
            decision_id=self.recorder.new_id(at_ns),
            effect=outcome.effect,
            reasons=outcome.reasons,
            obligations=outcome.obligations,
            risk=call.facts.targets[0].risk,
            valid_until_ns=self._valid_until(outcome, call, found, at_ns),
            call_digest=call.facts.call_digest,
            policy=PolicyRef(policy.revision, policy.digest, policy.engine.name),
            requirements=requirements,
            retry_after_ms=self.terms.retry_after_ms if requirements else 0,
        )

    def _valid_until(self, outcome: Outcome, call: Established, found: Evaluated, at_ns: int) -> int:
        """An allow holds for a short while, and never longer than the token or the evidence behind it."""
        if outcome.effect is Effect.DENY:
            return 0
        if outcome.effect is Effect.PENDING:
            return min(open_requirement(r, "", at_ns).expires_ns for r in outcome.requirements)
        subject = call.facts.identity.subject
        bounds = [at_ns + self.terms.allow_seconds * NS]
        if subject.expires_ns:  # vouched claims may have no end of their own; a token always has
            bounds.append(subject.expires_ns)
        bounds += [e["expires_ns"] for e in found.evidence if isinstance(e["expires_ns"], int)]
        return min(bounds)
