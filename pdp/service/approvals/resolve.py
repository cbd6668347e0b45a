"""What surrounds an evaluation when people have a say: before it, a call that comes back; after it, what a pending
answer opens and what an allow spends. Unary calls and batches share it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pdp.core.answer import Answer, PolicyRef, Terms, answer_of
from pdp.core.approvals.call import CallUnderDecision
from pdp.core.approvals.rows import Approval
from pdp.core.errors import Conflict
from pdp.core.outcome import Effect, Outcome, denied
from pdp.core.record import RecordTooLargeError
from pdp.ports import Store
from pdp.service.approvals.redeem import Redeem
from pdp.service.approvals.requests import Opening
from pdp.service.approvals.resume import Resuming
from pdp.service.decision import Decision
from pdp.service.facts import call_id_of
from pdp.service.idempotency import Idempotency


@dataclass(frozen=True, slots=True)
class Resolve:
    """Brings people in."""

    store: Store
    resuming: Resuming
    opening: Opening
    redeem: Redeem
    idempotency: Idempotency

    def resume(self, decision: Decision) -> Answer | Outcome | None:
        """For a call that comes back: its kept answer, or a denial. None: evaluate."""
        return self.resuming(decision, decision.call) if decision.call is not None else None

    async def resolve(self, decision: Decision, terms: Terms) -> None:
        """The answer to an evaluation, what is kept for repeats, and what is committed with the record.

        Raises Conflict when people have answered meanwhile.
        """
        effect, call = decision.evaluated.outcome.effect, decision.call
        if call is not None and effect is Effect.PENDING:
            await self._open(decision, call, terms)
        else:
            _answer(decision, terms)
            if call is not None and effect is Effect.ALLOW and self._redeemed(decision, call):
                return
        decision.reply = self.idempotency.entry(decision.claim, decision.answer, decision.snapshot, decision.at_ns)

    async def _open(self, decision: Decision, call: CallUnderDecision, terms: Terms) -> None:
        call = await self._again(call)
        if self.resuming(decision, call) is not None:
            raise _settled()  # what it came back for was spent or ended while it was evaluated
        _answer(decision, terms)
        answer, requirements = decision.answer, decision.evaluated.outcome.requirements
        try:
            opened = await self.opening(call, _title(call), requirements, answer.policy, decision.id, decision.at_ns)
        except RecordTooLargeError as fault:
            opened = denied(fault.code, fault.message)
        if isinstance(opened, Outcome):
            decision.evaluated = replace(decision.evaluated, outcome=opened)
            _answer(decision, terms)
            return
        decision.entries = opened.entries
        decision.answer = replace(
            answer,
            requirements=opened.requirements,
            resume_token=opened.resume_token,
            valid_until_ns=min(each.expires_ns for each in opened.requirements),
        )

    async def _again(self, asked: CallUnderDecision) -> CallUnderDecision:
        """The call with what the store holds about it by now. Raises Conflict for one that was erased meanwhile."""
        if not asked.repeated:
            return asked  # the commit of its first row is refused where another one came first
        stored = await self.store.for_call(asked.keys)
        if stored.row is None or stored.row.digest != asked.call.digest:
            raise _settled()
        return replace(asked, stored=stored)

    def _redeemed(self, decision: Decision, call: CallUnderDecision) -> bool:
        """Whether the allow rests on answers that it spends."""
        snapshot, at, held = decision.snapshot, decision.at_ns, decision.evaluated.held
        redemption = self.redeem(
            call, held, call_id_of(decision.ask), decision.id, snapshot.expected(call.tenant), at
        )
        if redemption is None:
            return False
        decision.redeeming |= {each.source.id for each in held if isinstance(each.source, Approval)}
        decision.answer = replace(decision.answer, redemption_id=redemption.id)
        decision.entries = redemption.entries
        # told again by its call id only: a repeat of the request id must not spend the same answer twice
        decision.reply = self.idempotency.redeemed_entry(call, decision.answer, snapshot, at)
        return True


def _answer(decision: Decision, terms: Terms) -> None:
    """The plain answer of an evaluation."""
    policy, evaluated = decision.snapshot.policy, decision.evaluated
    ref = PolicyRef(policy.revision, policy.digest, policy.engine.name)
    decision.answer = answer_of(
        decision.id, decision.facts, evaluated.outcome, evaluated.evidence, ref, terms, decision.at_ns
    )


def _settled() -> Conflict:
    return Conflict("store.conflict", "the request was settled meanwhile, so nothing was decided; ask again")


def _title(asked: CallUnderDecision) -> str:
    title = asked.definition.get("title")
    return title if isinstance(title, str) else ""
