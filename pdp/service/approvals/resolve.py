"""What surrounds an evaluation when people have a say: before it, a call that comes back; after it, what a pending
answer opens and what an allow spends. Unary calls and batches share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pdp.core.answer import Answer
from pdp.core.approvals.call import CallUnderDecision
from pdp.core.approvals.rows import Approval
from pdp.core.errors import Conflict
from pdp.core.outcome import Effect, Outcome, denied
from pdp.core.record import RecordTooLargeError
from pdp.core.request import Ask, Caller
from pdp.core.stored import Commit, ReplyRow
from pdp.ports import Store
from pdp.service.approvals.redeem import Redeem
from pdp.service.approvals.requests import Opening
from pdp.service.approvals.resume import Resuming
from pdp.service.evaluate import Evaluated
from pdp.service.facts import CallContext, call_id_of
from pdp.service.idempotency import Claim, Idempotency
from pdp.service.state import Snapshot


@dataclass(frozen=True, slots=True)
class Asking:
    """One question under way: who asks what, on which snapshot, at which instant. `rested` are the requests that an
    allow of this question was to redeem, in whichever of its tries: one of them that is redeemed by now went to
    somebody else."""

    ask: Ask
    caller: Caller
    claim: Claim | None
    call: CallContext
    snapshot: Snapshot
    at_ns: int
    rested: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Ended:
    """What an evaluation comes to: the answer, what is committed besides its record, and what is kept for repeats."""

    found: Evaluated
    answer: Answer
    entries: tuple[Commit, ...]
    reply: ReplyRow | None


@dataclass(frozen=True, slots=True)
class Escalation:
    """Brings people in."""

    store: Store
    resuming: Resuming
    opening: Opening
    redeem: Redeem
    repeats: Idempotency

    def begin(self, asking: Asking) -> Answer | Outcome | None:
        """For a call that comes back: its kept answer, or a denial. None: evaluate."""
        asked = asking.call.asked
        if asked is None:
            return None
        return self.resuming(asking.ask, asked, asking.snapshot, asking.at_ns, frozenset(asking.rested))

    async def end(self, asking: Asking, found: Evaluated, answered: Callable[[Evaluated], Answer]) -> Ended:
        """What `found` comes to. `answered` makes the plain answer of an evaluation."""
        asked = asking.call.asked
        if asked is not None and found.outcome.effect is Effect.PENDING:
            return await self._opened(asking, asked, found, answered)
        if asked is not None and found.outcome.effect is Effect.ALLOW:
            return self._redeemed(asking, asked, found, answered(found))
        return self._plain(asking, found, answered(found))

    def _plain(self, asking: Asking, found: Evaluated, answer: Answer, entries: tuple[Commit, ...] = ()) -> Ended:
        reply = self.repeats.entry(asking.claim, answer, asking.snapshot, asking.at_ns)
        return Ended(found, answer, entries, reply)

    async def _opened(
        self, asking: Asking, asked: CallUnderDecision, found: Evaluated, answered: Callable[[Evaluated], Answer]
    ) -> Ended:
        asked = await self._again(asked)
        if self.begin(replace(asking, call=replace(asking.call, asked=asked))) is not None:
            raise _settled()  # what it came back for was spent or ended while it was evaluated
        answer = answered(found)
        wanted, at = found.outcome.requirements, asking.at_ns
        try:
            opened = await self.opening(asked, _title(asked), wanted, answer.policy, answer.decision_id, at)
        except RecordTooLargeError as fault:
            opened = denied(fault.code, fault.message)
        if isinstance(opened, Outcome):
            found = replace(found, outcome=opened)
            return self._plain(asking, found, answered(found))
        answer = replace(
            answer,
            requirements=opened.requirements,
            resume_token=opened.resume_token,
            valid_until_ns=min(each.expires_ns for each in opened.requirements),
        )
        return self._plain(asking, found, answer, opened.entries)

    async def _again(self, asked: CallUnderDecision) -> CallUnderDecision:
        """The call with what the store holds about it by now. Raises Conflict for one that was erased meanwhile."""
        if not asked.repeated:
            return asked  # the commit of its first row is refused where another one came first
        stored = await self.store.for_call(asked.keys)
        if stored.row is None or stored.row.digest != asked.call.digest:
            raise _settled()
        return replace(asked, stored=stored)

    def _redeemed(self, asking: Asking, asked: CallUnderDecision, found: Evaluated, answer: Answer) -> Ended:
        snapshot = asking.snapshot
        call_id, at = call_id_of(asking.ask), asking.at_ns
        made = self.redeem(asked, found.held, call_id, answer.decision_id, snapshot.expected(asked.tenant), at)
        if made is None:
            return self._plain(asking, found, answer)
        asking.rested.update(held.source.id for held in found.held if isinstance(held.source, Approval))
        answer = replace(answer, redemption_id=made.id)
        # told again by its call id only: a repeat of the request id must not spend the same answer twice
        reply = self.repeats.redeemed_entry(asked, answer, snapshot, at)
        return Ended(found, answer, made.entries, reply)


def _settled() -> Conflict:
    return Conflict("store.conflict", "the request was settled meanwhile, so nothing was decided; ask again")


def _title(asked: CallUnderDecision) -> str:
    title = asked.definition.get("title")
    return title if isinstance(title, str) else ""
