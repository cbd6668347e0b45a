"""One decision, top to bottom: identify, look for a kept answer, establish facts, evaluate, record, answer."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass

from pdp.core.answer import Answer, PolicyRef, open_requirement
from pdp.core.approvals.rows import Answered
from pdp.core.check import NS
from pdp.core.errors import Conflict, DeadlineTooShort
from pdp.core.outcome import Effect, Outcome
from pdp.core.request import Ask, Caller
from pdp.core.stored import RecordRef, StoredCall
from pdp.ports import Clock, EvidenceSource, Sessions, Store
from pdp.service.admission import require_server
from pdp.service.approvals.resolve import Asking, Ended, Escalation
from pdp.service.commit import Recorder
from pdp.service.evaluate import Evaluated, settle
from pdp.service.facts import CallContext, Draft, Establish
from pdp.service.idempotency import Claim, Idempotency
from pdp.service.recording import Recording
from pdp.service.state import Snapshot, State
from pdp.service.worker_crash_quota import WorkerCrashQuota

TRIES = 5  # evaluations of one question that somebody else's commit may overtake


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
    store: Store
    establish: Establish
    repeats: Idempotency
    evidence: EvidenceSource
    escalation: Escalation
    recorder: Recorder
    sessions: Sessions
    clock: Clock
    kills: WorkerCrashQuota
    terms: Terms

    async def __call__(self, ask: Ask, caller: Caller) -> tuple[Answer, RecordRef]:
        """Answer one request; the record is durable when this returns.

        Raises Forbidden, InvalidRequest, Overloaded, Unavailable, DeadlineTooShort. Everything else is an answer.
        """
        require_server(caller, ask.target.server)
        tries, rested = 0, set[str]()
        while True:
            at, snapshot = self.clock.now_ns(), self.state.snapshot()
            self.kills.check(caller, at)
            identity = await self.establish.identity(ask.credential, caller, ask.target.server, snapshot.registry, at)
            claim = self.repeats.claim(ask, caller, identity)
            tries += 1
            async with self.repeats.single_flight(claim):
                # Fetching keys or waiting for an in-flight duplicate can outlast the snapshot.
                # Restart on a fresh one.
                if self.state.outdated(snapshot, at, self.clock.now_ns()):
                    continue
                draft = self.establish.draft(ask, caller, identity, snapshot, at, claim.key if claim else "")
                stored = await self.store.for_call(draft.keys)
                kept = self.repeats.cached(claim, stored.reply, snapshot, at)
                if kept is not None:
                    return kept, await self.recorder.locate(kept.decision_id)
                again = tries < TRIES
                with suppress(Conflict) if again else nullcontext():
                    answered = await self._decided(draft, stored, claim, rested, again=again)
                    if answered is not None:
                        return answered

    async def _decided(
        self, draft: Draft, stored: StoredCall, claim: Claim | None, rested: set[str], *, again: bool
    ) -> tuple[Answer, RecordRef] | None:
        """Establish, evaluate, record. None when somebody threw a switch meanwhile, or a judge took long (where one
        may try `again`): then nothing was recorded. Raises Conflict when an answer that this one rests on was spent
        or changed meanwhile."""
        ask, caller, snapshot, at_ns = draft.ask, draft.caller, draft.snapshot, draft.at_ns
        call = self.establish.call(draft, stored)
        asking = Asking(ask, caller, claim, call, snapshot, at_ns, rested)
        try:
            begun = self.escalation.begin(asking)
            if isinstance(begun, Answer):
                return begun, await self.recorder.locate(begun.decision_id)
            found = Evaluated(begun, b"") if begun is not None else await self.settled(asking, self.evidence)
            self.kills.note(caller, found.outcome, at_ns)
            if self.state.switches is not snapshot.switches or (again and self.judged_long(asking, found)):
                return None
            ended = await self.ended(asking, found, self.recorder.new_id(at_ns))
            content, salt = claim.content if claim else None, self.recorder.new_salt()
            made = Recording(ask, caller, call, ended.found, snapshot, at_ns, content, salt)
            answer, ref = await self.recorder.decision(made, ended.answer, ended.reply, ended.entries)
            self.sessions.note(caller, draft.identity, ask.session, answer.effect.value, at_ns)
        finally:
            self.establish.settled(call)
        self.check_late(answer, at_ns)
        return answer, ref

    async def settled(self, asking: Asking, source: EvidenceSource) -> Evaluated:
        """What policy says, with the answers that are at hand."""
        policy, facts, supported = asking.snapshot.policy, asking.call.facts, asking.ask.supported_obligations
        return await settle(
            policy, facts, asking.at_ns, asked=asking.call.asked, source=source, supported=frozenset(supported)
        )

    def judged_long(self, asking: Asking, found: Evaluated) -> bool:
        """Whether a judge took so long that the allow it unlocks rests on what is history by now. Its verdict is
        durable, and will be found at once."""
        unlocks = found.outcome.effect is Effect.ALLOW and any(isinstance(h.source, Answered) for h in found.held)
        return unlocks and self.state.outdated(asking.snapshot, asking.at_ns, self.clock.now_ns())

    async def ended(self, asking: Asking, found: Evaluated, decision_id: str) -> Ended:
        """What an evaluation comes to, people included."""
        call, snapshot, at = asking.call, asking.snapshot, asking.at_ns
        return await self.escalation.end(
            asking, found, lambda made: self.answer(decision_id, call, made, snapshot, at)
        )

    def check_late(self, answer: Answer, at_ns: int) -> None:
        """Raises DeadlineTooShort for an allow that held when it was decided, and no longer does."""
        if answer.effect is not Effect.ALLOW:
            return
        now = self.clock.now_ns()
        # a token that is accepted within the skew had ended by then: its allow holds for no time, and is no later
        if now - at_ns >= self.terms.allow_seconds * NS or at_ns < answer.valid_until_ns <= now:
            raise DeadlineTooShort("service.late", "The answer took longer than it would have held; ask again.")

    def answer(self, decision_id: str, call: CallContext, found: Evaluated, snapshot: Snapshot, at_ns: int) -> Answer:
        """What an evaluation comes to for the caller."""
        outcome = found.outcome
        requirements = tuple(open_requirement(r, call.facts.call_digest, at_ns) for r in outcome.requirements)
        policy = snapshot.policy
        return Answer(
            decision_id=decision_id,
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

    def _valid_until(self, outcome: Outcome, call: CallContext, found: Evaluated, at_ns: int) -> int:
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
