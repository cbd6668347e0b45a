"""Several decisions in one call: each answer is what a call of its own would have got, and one commit makes all of
them durable.

One snapshot and one instant are pinned for the whole batch. Items go in order: a repeat of an earlier request id
sees its answer, and a call of the same session the counters that earlier ones left, so it is evaluated when they are
answered. Others are evaluated together. Until the commit nothing outside has changed: counters, replies and records
of a batch that cannot be made durable are forgotten with its answers.

Where people are asked, or an allow spends what they said, a commit ends: what follows is pinned and evaluated anew,
so that it sees what was opened and spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace

from pdp.core.call.budgets import rows_after
from pdp.core.call.request import Ask, Caller
from pdp.core.call.sessions import SessionEffects, after, atoms_after
from pdp.core.errors import Conflict, DeadlineTooShort, Fault, Forbidden, InvalidRequest, Overloaded, Unavailable
from pdp.core.outcome import Outcome
from pdp.core.outcome.answer import Answer
from pdp.core.record.stored import CallKeys, Commit, RecordRef, ReplyRow, StoredCall
from pdp.decide.admission import RECORDED, require_server
from pdp.decide.decide import TRIES, Decide, overtaken
from pdp.decide.decision import Decision
from pdp.decide.evaluate import settle
from pdp.decide.shares import Turn
from pdp.decide.state import Snapshot

RPC = "DecideBatch"
MAX_ITEMS = 64
TOGETHER = 16  # evaluated at once; then the caller's quota of lost workers is looked at again
TOGETHER_BYTES = 64 << 10  # of facts, likewise: what is made at once holds other callers' decisions up

# Faults of one item of a batch, as of a single call. Any other exception is a bug and fails the batch.
_REFUSALS = (Forbidden, InvalidRequest, Overloaded, Unavailable, DeadlineTooShort)

Question = Ask | InvalidRequest  # a request, or its decoding error
Answered = tuple[Answer, RecordRef] | Fault
Located = tuple[Decision, RecordRef] | Fault


@dataclass(slots=True)
class OpenItem:
    """A decision with its facts, to be evaluated. Its randomness is drawn in the order of the items."""

    place: int
    decision: Decision
    denied: Outcome | None = None  # without an evaluation


@dataclass(slots=True)
class Trail:
    """What answers of a batch leave behind, in order. How far it was followed is remembered for each session, so that
    each of its items meets what one answer more has left, and not what all have."""

    effects: list[tuple[CallKeys, SessionEffects]] = field(default_factory=list)
    followed: dict[tuple[str, str, str], tuple[StoredCall, int, StoredCall]] = field(default_factory=dict)
    seen: list[frozenset[int] | None] = field(default_factory=list)  # atoms in each that is left; None: it ends some

    def after(self, keys: CallKeys, stored: StoredCall) -> StoredCall:
        """What the store will say of a call once this is durable."""
        place, common = (keys.session, keys.pair, keys.also), replace(keys, atoms=())
        start = StoredCall(session=stored.session, parent=stored.parent, labels=stored.labels, awaited=stored.awaited)
        begun, count, found = self.followed.get(place, (None, 0, start))
        if begun != start:  # somebody else wrote meanwhile
            count, found = 0, start
        for others, each in self.effects[count:]:
            if _related(others, keys):
                found = after(found, common, each)
        self.followed[place] = start, len(self.effects), found
        self.seen += [_atoms_of(each) for _, each in self.effects[len(self.seen) :]]
        atoms, wanted = stored.atoms, frozenset(keys.atoms)  # its own
        for (others, each), said in zip(self.effects if wanted else (), self.seen, strict=False):
            if (said is None or not wanted.isdisjoint(said)) and _related(others, keys):
                atoms = atoms_after(replace(stored, session=found.session, atoms=atoms), keys, each)
        taken = (part for _, each in self.effects for part in each.reserves)
        budgets = rows_after(stored.budgets, keys.budgets, taken) if keys.budgets else ()
        return replace(
            stored, session=found.session, labels=found.labels, atoms=atoms, awaited=found.awaited, budgets=budgets
        )


@dataclass(slots=True)
class Run:
    """The progress of a batch, by position; none of it is durable."""

    caller: Caller
    snapshot: Snapshot
    at_ns: int
    # the records of refused items that are not durable yet, by place and code: however often the batch is decided
    # again, each refusal is counted once
    noted: dict[tuple[int, str], tuple[Commit, ...]] = field(default_factory=dict)
    results: dict[int, Decision | Fault] = field(default_factory=dict)
    entries: dict[int, tuple[Commit, ...]] = field(default_factory=dict)
    replies: dict[str, ReplyRow] = field(default_factory=dict)
    begun: list[Decision] = field(default_factory=list)
    trail: Trail = field(default_factory=Trail)  # of its answers
    waiting: list[OpenItem] = field(default_factory=list)
    outdated: bool = False  # a judge took so long that an allow rests on what is history by now
    end: int | None = None  # the item after which the rest is left to another commit

    def depends(self, decision: Decision) -> bool:
        """Whether an item repeats one that is still to be evaluated, and so has to wait for it."""
        claim = decision.claim
        return claim is not None and any(
            other.decision.claim is not None and other.decision.claim.key == claim.key for other in self.waiting
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """`DecisionService.DecideBatch`, made of the same steps as `Decide`."""

    decide: Decide

    async def __call__(self, questions: Sequence[Question], caller: Caller) -> tuple[Answered, ...]:
        """Answer every question, in order; all records are durable when this returns.

        Raises InvalidRequest for no or too many questions, and Unavailable or Overloaded when the first answers
        cannot be recorded: then there is none. What is wrong with one question, or with recording what comes after
        an answer that is durable already, is its own result.
        """
        if not 1 <= len(questions) <= MAX_ITEMS:
            raise InvalidRequest("requests", f"must be 1 to {MAX_ITEMS} questions")
        with self.decide.shares.turn() as turn:
            return await self._answers(questions, caller, turn)

    async def _answers(self, questions: Sequence[Question], caller: Caller, turn: Turn) -> tuple[Answered, ...]:
        answered: list[Answered] = []
        numbered = tuple(enumerate(questions))
        size = len(questions)  # of what is looked at together: less where people are asked, so that little is in vain
        while len(answered) < len(questions):
            try:
                found = await self._segment(numbered[len(answered) : len(answered) + size], caller, turn)
                size = 2 * len(found)
                answered += found
            except _REFUSALS as fault:
                if not answered:
                    raise
                answered += [fault] * (len(questions) - len(answered))
        return tuple(answered)

    async def _segment(
        self, questions: Sequence[tuple[int, Question]], caller: Caller, turn: Turn
    ) -> tuple[Answered, ...]:
        """The answers to the first questions, up to one that people are asked about or whose allow spends what they
        said, or to all of them; one commit."""
        tries, redeeming = 0, frozenset[str]()
        noted: dict[tuple[int, str], tuple[Commit, ...]] = {}
        while True:
            tries += 1
            at, snapshot = self.decide.clock.now_ns(), self.decide.state.snapshot()
            items = await self._identified(questions, caller, snapshot, at, redeeming, turn)
            async with self._alone(items):
                # Fetching keys or waiting for an in-flight duplicate can outlast the snapshot.
                # Restart on a fresh one.
                if self.decide.state.outdated(snapshot, at, self.decide.clock.now_ns()):
                    continue
                run = Run(caller, snapshot, at, noted)
                try:
                    with suppress(Conflict) if tries < TRIES else nullcontext():
                        await self._walk(run, items)
                        if not (run.outdated and tries == 1) and self.decide.state.holds(snapshot, caller.tenant):
                            found = await self._durable(run)
                            if found is not None:
                                return found
                        if tries >= TRIES:
                            raise overtaken()
                finally:
                    for decision in run.begun:
                        self.decide.facts.release(decision)
                        redeeming |= decision.redeeming

    async def _identified(
        self,
        questions: Sequence[tuple[int, Question]],
        caller: Caller,
        snapshot: Snapshot,
        at_ns: int,
        redeeming: frozenset[str],
        turn: Turn,
    ) -> list[Decision | Fault]:
        """Each request with its verified kind."""
        decisions: list[Decision | Fault] = []
        for number, ask in questions:
            try:
                if isinstance(ask, Fault):
                    raise ask
                require_server(caller, ask.target.server)
                kind = await self.decide.facts.kind(ask, caller, snapshot, at_ns)
                identity = kind.facts.identity
                turn.ask(caller, identity, self.decide.facts.named(ask.session, caller, identity).id, number)
                claim = self.decide.idempotency.claim(ask, kind)
                decisions.append(Decision(ask, kind, snapshot, at_ns, claim, redeeming))
            except _REFUSALS as fault:
                decisions.append(fault)
        return decisions

    @asynccontextmanager
    async def _alone(self, items: Sequence[Decision | Fault]) -> AsyncIterator[None]:
        """Hold the place of every request id. In one order for all batches, so that no two wait for each other."""
        claims = {item.claim.key: item.claim for item in items if isinstance(item, Decision) and item.claim}
        async with AsyncExitStack() as stack:
            for key in sorted(claims):
                await stack.enter_async_context(self.decide.idempotency.single_flight(claims[key]))
            yield

    async def _walk(self, run: Run, items: Sequence[Decision | Fault]) -> None:
        for place, item in enumerate(items):
            await asyncio.sleep(0)  # between two items it is the others' turn
            if isinstance(item, Decision) and (run.depends(item) or _enough(run.waiting)):
                await self._drain(run)
            if run.end is not None:
                return
            try:
                if isinstance(item, Fault):
                    raise item
                await self._begin(run, place, item)
            except Conflict:  # people answered meanwhile: nothing of this is right any more
                raise
            except _REFUSALS as fault:
                run.results[place] = fault
        await self._drain(run)

    async def _begin(self, run: Run, place: int, decision: Decision) -> None:
        """A kept answer, or facts to evaluate. Raises what refuses the item."""
        decide, claim, at = self.decide, decision.claim, run.at_ns
        decide.crash_quota.check(run.caller, at)
        await decide.facts.prepare(decision)
        stored = await decide.recorder.for_call(decision)
        if stored.mandate is not None:
            stored = await decide.with_slots(decision, stored)
        decide.facts.read(decision, stored)
        row = (run.replies.get(claim.key) if claim is not None else None) or decision.stored.reply
        cached = decide.idempotency.cached(claim, row, run.snapshot, at)
        if cached is not None:
            decision.answer = cached
            run.results[place] = decision
            return
        if any(_meets(each.decision.keys, decision.keys) for each in run.waiting):
            await self._drain(run)
            if run.end is not None:
                return
            decide.crash_quota.check(run.caller, at)
        if decision.ask.client_answers:
            await decide.approvals.hear(decision)
        decision.stored = run.trail.after(decision.keys, decision.stored)
        decide.facts.build(decision)
        run.begun.append(decision)
        kept = decide.resumed(decision)
        if isinstance(kept, Answer):
            decision.answer = kept
            run.results[place] = decision
            return
        decision.id, decision.input_salt = decide.recorder.new_id(at), decide.recorder.new_salt()
        run.waiting.append(OpenItem(place, decision, kept))

    async def _drain(self, run: Run) -> None:
        """Evaluate what waits, together, and take the results in order."""
        opened, run.waiting = run.waiting, []
        results = await asyncio.gather(*(self._settle(each) for each in opened), return_exceptions=True)
        for each, failure in zip(opened, results, strict=True):
            try:
                if failure is not None:
                    raise failure
                await self._close(run, each)
            except Conflict:  # as above
                raise
            except _REFUSALS as fault:
                run.results[each.place] = fault
            if run.end is not None:
                return

    async def _settle(self, each: OpenItem) -> None:
        if each.denied is None:
            await settle(each.decision, self.decide.evidence)
        else:
            each.decision.outcome = each.denied

    async def _close(self, run: Run, each: OpenItem) -> None:
        """Complete an item: its answer, record, kept reply and counts, for the commit of the batch."""
        decide, decision = self.decide, each.decision
        decide.crash_quota.note(run.caller, decision.outcome, run.at_ns)
        run.outdated = run.outdated or decide.judged_long(decision)
        await decide.resolve(decision)
        entries = decide.entries(decision)
        run.results[each.place], run.entries[each.place] = decision, entries
        # what follows sees what this has opened or spent, as single calls would
        if len(entries) > 1 or entries[0].steps:
            run.end = each.place
        if (kept := entries[0].reply) is not None:
            run.replies[kept.key] = kept
        run.trail.effects.append((decision.keys, decision.effects))

    def _entries(self, run: Run, place: int) -> tuple[Commit, ...]:
        """The entries of one item. Only now is a refusal counted: before, it might be found again."""
        fault = run.results[place]
        if not isinstance(fault, RECORDED):
            return run.entries.get(place, ())
        if (place, fault.code) not in run.noted:
            entry = self.decide.recorder.refused(run.caller, fault, RPC, run.at_ns)
            run.noted[place, fault.code] = (entry,) if entry is not None else ()
        return run.noted[place, fault.code]

    async def _durable(self, run: Run) -> tuple[Answered, ...] | None:
        """One commit; what was tentative until now becomes so. None where one of the answers may not leave any more.
        Raises Conflict."""
        places = [place for place in sorted(run.results) if run.end is None or place <= run.end]
        entries = [entry for place in places for entry in self._entries(run, place)]
        refs = await self.decide.recorder.commit_all(tuple(entries))
        run.noted.update(dict.fromkeys(run.noted, ()))  # they are recorded
        known = {entry.record_id: ref for entry, ref in zip(entries, refs, strict=True)}
        located = [await self._located(run.results[place], known) for place in places]
        answered = [told for each in located if (told := self._told(each)) is not None]
        return tuple(answered) if len(answered) == len(places) else None

    async def _located(self, result: Decision | Fault, known: Mapping[str, RecordRef]) -> Located:
        """A result with where its record stands."""
        if isinstance(result, Fault):
            return result
        decision_id = result.answer.decision_id
        try:
            return result, known.get(decision_id) or await self.decide.recorder.locate(decision_id)
        except _REFUSALS as fault:
            return fault

    def _told(self, located: Located) -> Answered | None:
        """What leaves; None for what may not leave any more. Nothing is awaited from here on."""
        if isinstance(located, Fault):
            return located
        decision, ref = located
        try:
            return (decision.answer, ref) if self.decide.leaves(decision) else None
        except DeadlineTooShort as fault:
            return fault


def _enough(waiting: Sequence[OpenItem]) -> bool:
    """Whether these are evaluated before there are more."""
    return len(waiting) == TOGETHER or sum(each.decision.ask.fact_bytes for each in waiting) >= TOGETHER_BYTES


def _atoms_of(effects: SessionEffects) -> frozenset[int] | None:
    """The atoms that an answer leaves. None where it takes some away."""
    ends = effects.session is not None and effects.session.state != "open"
    if ends or any(change.reset for change in effects.pairs):
        return None
    return frozenset(atom for text in effects.seen for atom in text.atoms)


def _meets(keys: CallKeys, others: CallKeys) -> bool:
    """Whether what one call leaves behind, or takes from a budget, may be a fact of the other."""
    mine = {keys.pair, keys.session, *keys.budgets} - {""}
    return not mine.isdisjoint((others.pair, others.session, *others.budgets))


def _related(keys: CallKeys, others: CallKeys) -> bool:
    """Whether what one call leaves behind may be a fact of the other."""
    return keys.pair == others.pair or keys.session == others.session
