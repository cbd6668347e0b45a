"""One decision, top to bottom: identify, prepare, look for a kept answer, build facts, evaluate, resolve, commit."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from dataclasses import dataclass

from pdp.core.approvals.rows import Answered
from pdp.core.call.request import Ask, Caller
from pdp.core.check import NS
from pdp.core.errors import Conflict, DeadlineTooShort
from pdp.core.outcome import Effect
from pdp.core.outcome.answer import Answer, Terms
from pdp.core.ports import Clock, EvidenceSource
from pdp.core.record.stored import RecordRef
from pdp.decide.admission import WorkerCrashQuota, require_server
from pdp.decide.commit import Recorder
from pdp.decide.decision import Approvals, Decision
from pdp.decide.evaluate import settle
from pdp.decide.facts import FactBuilder
from pdp.decide.idempotency import Idempotency
from pdp.decide.shares import Shares, Turn
from pdp.decide.state import ServiceState

TRIES = 5  # evaluations of one request, each overtaken by another commit


@dataclass(frozen=True, slots=True)
class Decide:
    """`DecisionService.Decide`."""

    state: ServiceState
    facts: FactBuilder
    idempotency: Idempotency
    evidence: EvidenceSource
    approvals: Approvals
    recorder: Recorder
    clock: Clock
    crash_quota: WorkerCrashQuota
    terms: Terms
    shares: Shares

    async def __call__(self, ask: Ask, caller: Caller) -> tuple[Answer, RecordRef]:
        """Answer one request; the record is durable when this returns.

        Raises Forbidden, InvalidRequest, Overloaded, Unavailable, DeadlineTooShort. Everything else is an answer.
        """
        require_server(caller, ask.target.server)
        with self.shares.turn() as turn:
            return await self._answered(ask, caller, turn)

    async def _answered(self, ask: Ask, caller: Caller, turn: Turn) -> tuple[Answer, RecordRef]:
        tries, redeeming = 0, frozenset[str]()
        while True:
            at, snapshot = self.clock.now_ns(), self.state.snapshot()
            self.crash_quota.check(caller, at)
            identity = await self.facts.identity(ask.credential, caller, ask.target.server, snapshot.registry, at)
            turn.ask(caller, identity, self.facts.named(ask.session, caller, identity).id)
            claim = self.idempotency.claim(ask, caller, identity)
            decision = Decision(ask, caller, identity, snapshot, at, claim, redeeming)
            tries += 1
            async with self.idempotency.single_flight(claim):
                # Fetching keys or waiting for an in-flight duplicate can outlast the snapshot.
                # Restart on a fresh one.
                if self.state.outdated(snapshot, at, self.clock.now_ns()):
                    continue
                await self.facts.prepare(decision)
                self.facts.read(decision, await self.recorder.for_call(decision))
                again = tries < TRIES
                with suppress(Conflict) if again else nullcontext():
                    ref = await self._kept(decision) or await self._decided(decision, again=again)
                    if ref is not None and self.leaves(decision):
                        return decision.answer, ref
                    if not again:
                        raise overtaken()
                redeeming = decision.redeeming

    async def _kept(self, decision: Decision) -> RecordRef | None:
        """The reference to the record of the answer that is replayed, if there is one."""
        kept = self.idempotency.cached(decision.claim, decision.stored.reply, decision.snapshot, decision.at_ns)
        if kept is None:
            return None
        decision.answer = kept
        return await self.recorder.locate(kept.decision_id)

    async def _decided(self, decision: Decision, *, again: bool) -> RecordRef | None:
        """The reference to the record of the answer. None when policy, registry or switches changed meanwhile, or a
        judge took long (where one may try `again`): then nothing was recorded. Raises Conflict when an answer that
        this one rests on was spent or changed meanwhile."""
        await self.approvals.hear(decision)
        self.facts.build(decision)
        try:
            kept = self.approvals.resume(decision)
            if isinstance(kept, Answer):
                decision.answer = kept
                return await self.recorder.locate(kept.decision_id)
            if kept is not None:
                decision.outcome = kept
            else:
                await settle(decision, self.evidence)
            self.crash_quota.note(decision.caller, decision.outcome, decision.at_ns)
            if not self.state.holds(decision.snapshot, decision.caller.tenant):
                return None
            if again and self.judged_long(decision):
                return None
            decision.id = self.recorder.new_id(decision.at_ns)
            await self.approvals.resolve(decision, self.terms)
            decision.input_salt = self.recorder.new_salt()
            ref = await self.recorder.decision(decision)
        finally:
            self.facts.release(decision)
        return ref

    def judged_long(self, decision: Decision) -> bool:
        """Whether a judge took so long that the allow it unlocks rests on what is history by now. Its verdict is
        durable, and will be found at once."""
        if decision.outcome.effect is not Effect.ALLOW or not decision.evidence:
            return False
        unlocks = any(isinstance(held.source, Answered) for held in decision.evidence)
        return unlocks and self.state.outdated(decision.snapshot, decision.at_ns, self.clock.now_ns())

    def leaves(self, decision: Decision) -> bool:
        """The last question to every answer, whether evaluated or kept, with nothing awaited after it: may it leave
        now? False for one that lets a call through by a policy, registry or switch that has changed since: it is to
        be decided again. Raises DeadlineTooShort for one that held when it was asked for, and no longer does."""
        answer, at = decision.answer, decision.at_ns
        if not answer.permits:
            return True
        if not self.state.holds(decision.snapshot, decision.caller.tenant):
            return False
        now, ends = self.clock.now_ns(), (answer.valid_until_ns, decision.identity.subject.expires_ns or 0)
        # a token that is accepted within the skew had ended by then: its allow holds for no time, and is no later
        if now - at >= self.terms.allow_seconds * NS or any(at < end <= now for end in ends):
            raise DeadlineTooShort("service.late", "The answer took longer than it would have held; ask again.")
        return True


def overtaken() -> Conflict:
    """The fault of a request that was decided again and again, and each time by what was history by then."""
    return Conflict("store.conflict", "what the request rests on changed again and again; ask again")
