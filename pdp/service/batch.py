"""Several decisions in one call: each answer is what a call of its own would have got, and one commit makes all of
them durable.

One snapshot and one instant are pinned for the whole batch. Items go in order: a repeat of an earlier request id
sees its answer, and a call of the same session the counters that earlier ones left. So that a session's calls can be
evaluated together all the same, the counters are guessed (each earlier call was answered, and not denied), and an
item whose guess turns out wrong is evaluated again in its turn. Until the commit nothing outside has changed:
counters, replies and records of a batch that cannot be made durable are forgotten with its answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

from pdp.core.answer import Answer
from pdp.core.check import WORST_COUNT
from pdp.core.errors import DeadlineTooShort, Fault, Forbidden, InvalidRequest, Overloaded, Unavailable
from pdp.core.facts import Identity, SessionFact
from pdp.core.outcome import Effect
from pdp.core.request import Ask, Caller, Credential
from pdp.core.stored import Commit, RecordRef, ReplyRow
from pdp.service.decide import Decide
from pdp.service.entrance import RECORDED, require_server
from pdp.service.establish import Established
from pdp.service.evaluate import Evaluated, settle
from pdp.service.recording import Recording
from pdp.service.repeat import Claim
from pdp.service.state import Snapshot
from pdp.service.suppose import Standing

RPC = "DecideBatch"
MAX_ITEMS = 64
TOGETHER = 16  # evaluated at once; then the caller's quota of lost workers is looked at again

# What refuses one item of a batch, as it would refuse a single call. Anything else is a bug, and nobody's answer.
_REFUSALS = (Forbidden, InvalidRequest, Overloaded, Unavailable, DeadlineTooShort)

Question = Ask | InvalidRequest  # what is asked, or why it cannot be read
Answered = tuple[Answer, RecordRef] | Fault
_Counter = tuple[str, str | None, str | None, str | None]  # session id, issuer, subject, agent


@dataclass(frozen=True, slots=True)
class _Item:
    """One question, and what is known of it before anything is evaluated."""

    ask: Ask
    identity: Identity
    claim: Claim | None

    @property
    def counter(self) -> _Counter:
        """Whose calls it counts among: a session belongs to the first who used it."""
        subject = self.identity.subject
        return self.ask.session.id, subject.issuer, subject.id, self.identity.agent.id

    def meets(self, other: _Item) -> bool:
        """Whether one is a repeat of the other."""
        return self.claim is not None and other.claim is not None and self.claim.key == other.claim.key


@dataclass(frozen=True, slots=True)
class _Open:
    """An item with its facts, to be evaluated. Its randomness is drawn in the order of the items. `session` is its
    session without what this batch counted; `guess`: the counters rest on answers that are not there yet."""

    place: int
    item: _Item
    call: Established
    session: SessionFact
    guess: bool
    decision_id: str
    salt: bytes


@dataclass(slots=True)
class _Run:
    """What a batch has come to so far, by place; none of it is durable."""

    caller: Caller
    snapshot: Snapshot
    at_ns: int
    results: dict[int, Answer | Fault] = field(default_factory=dict)
    entries: dict[int, Commit] = field(default_factory=dict)
    replies: dict[str, ReplyRow] = field(default_factory=dict)
    calls: list[Established] = field(default_factory=list)
    counts: dict[_Counter, tuple[int, int]] = field(default_factory=dict)  # calls, denials
    notes: list[tuple[_Item, str]] = field(default_factory=list)
    waiting: list[_Open] = field(default_factory=list)

    def depends(self, item: _Item) -> bool:
        """Whether an item has to wait for one that is still to be evaluated."""
        return any(item.meets(other.item) for other in self.waiting)


@dataclass(frozen=True, slots=True)
class Batch:
    """`DecisionService.DecideBatch`, made of the same steps as `Decide`."""

    decide: Decide

    async def __call__(self, questions: Sequence[Question], caller: Caller) -> tuple[Answered, ...]:
        """Answer every question, in order; all records are durable when this returns.

        Raises InvalidRequest for no or too many questions, and Unavailable or Overloaded when the answers cannot
        be recorded: then there is none. What is wrong with one question is its own result.
        """
        if not 1 <= len(questions) <= MAX_ITEMS:
            raise InvalidRequest("requests", f"must be 1 to {MAX_ITEMS} questions")
        while True:
            at, snapshot = self.decide.clock.now_ns(), self.decide.state.snapshot()
            items = await self._identified(questions, caller, snapshot, at)
            async with self._alone(items):
                # fetching keys or waiting for a twin may have taken long: what was pinned is then history
                if self.decide.state.outdated(snapshot, at, self.decide.clock.now_ns()):
                    continue
                run = _Run(caller, snapshot, at)
                try:
                    await self._walk(run, items)
                    if self._switched(snapshot):
                        continue
                    return await self._durable(run)
                finally:
                    for call in run.calls:
                        self.decide.establish.settled(call.call)

    def _switched(self, snapshot: Snapshot) -> bool:
        """Whether somebody threw a switch since: then nothing of what was found may be told."""
        return self.decide.state.switches is not snapshot.switches

    async def _identified(
        self, questions: Sequence[Question], caller: Caller, snapshot: Snapshot, at_ns: int
    ) -> list[_Item | Fault]:
        """For whom each question is: one verification for each credential and server."""
        known: dict[tuple[Credential, str], Identity] = {}
        found: list[_Item | Fault] = []
        for asked in questions:
            try:
                if isinstance(asked, Fault):
                    raise asked
                credential, server = asked.credential, asked.target.server
                require_server(caller, server)
                if (credential, server) not in known:
                    known[credential, server] = await self.decide.establish.identity(
                        credential, caller, server, snapshot.registry, at_ns
                    )
                identity = known[credential, server]
                found.append(_Item(asked, identity, self.decide.repeats.claim(asked, caller, identity)))
            except _REFUSALS as fault:
                found.append(fault)
        return found

    @asynccontextmanager
    async def _alone(self, items: Sequence[_Item | Fault]) -> AsyncIterator[None]:
        """Hold the place of every request id. In one order for all batches, so that no two wait for each other."""
        claims = {item.claim.key: item.claim for item in items if isinstance(item, _Item) and item.claim}
        async with AsyncExitStack() as stack:
            for key in sorted(claims):
                await stack.enter_async_context(self.decide.repeats.alone(claims[key]))
            yield

    async def _walk(self, run: _Run, items: Sequence[_Item | Fault]) -> None:
        for place, item in enumerate(items):
            if isinstance(item, _Item) and (run.depends(item) or len(run.waiting) == TOGETHER):
                await self._drain(run)
            try:
                if isinstance(item, Fault):
                    raise item
                self._begin(run, place, item)
            except _REFUSALS as fault:
                self._refuse(run, place, fault)
        await self._drain(run)

    def _begin(self, run: _Run, place: int, item: _Item) -> None:
        """A kept answer, or facts to evaluate. Raises what refuses the item."""
        decide, at = self.decide, run.at_ns
        decide.kills.check(run.caller, at)
        kept = decide.repeats.kept(item.claim, run.snapshot, at, run.replies)
        if kept is not None:
            run.results[place] = kept
            return
        call = decide.establish.call(item.ask, run.caller, item.identity, run.snapshot, at)
        run.calls.append(call)
        session, before = call.facts.session, sum(item.counter == other.item.counter for other in run.waiting)
        guessed = _counted(call, session, run.counts.get(item.counter, (0, 0)), guess=before)
        drawn = decide.recorder.new_id(at), decide.recorder.new_salt()
        run.waiting.append(
            _Open(place, item, guessed, session, guessed.facts.session != session and before > 0, *drawn)
        )

    async def _drain(self, run: _Run) -> None:
        """Evaluate what waits, together, and take the results in order."""
        opened, run.waiting = run.waiting, []
        results = await asyncio.gather(*(self._settle(run, each) for each in opened), return_exceptions=True)
        for each, found in zip(opened, results, strict=True):
            try:
                self._close(run, *await self._checked(run, each, found))
            except _REFUSALS as fault:
                self._refuse(run, each.place, fault)

    async def _settle(self, run: _Run, each: _Open) -> Evaluated:
        supported = frozenset(each.item.ask.supported_obligations)
        policy, source = run.snapshot.policy, self.decide.evidence
        if each.guess:  # nobody is asked for what may not be wanted
            source = Standing(source)
        facts, asked = each.call.facts, each.call.asked
        return await settle(policy, facts, run.at_ns, asked=asked, source=source, supported=supported)

    async def _checked(self, run: _Run, each: _Open, found: Evaluated | BaseException) -> tuple[_Open, Evaluated]:
        """The evaluation, if it rests on what has come about by now; else another one."""
        if each.guess:
            call = _counted(each.call, each.session, run.counts.get(each.item.counter, (0, 0)))
            unsure = isinstance(found, BaseException) or found.outcome.effect is Effect.PENDING
            if unsure or call.facts.session != each.call.facts.session:
                if isinstance(found, Evaluated):
                    self.decide.kills.note(run.caller, found.outcome, run.at_ns)
                each = replace(each, call=call, guess=False)
                found = await self._settle(run, each)
        if isinstance(found, BaseException):
            raise found
        return each, found

    def _close(self, run: _Run, each: _Open, found: Evaluated) -> None:
        """What is to be told, recorded, kept and counted, once the batch is durable."""
        decide, item, at = self.decide, each.item, run.at_ns
        decide.kills.note(run.caller, found.outcome, at)
        answer = decide.answer(each.decision_id, each.call, found, run.snapshot, at)
        reply = decide.repeats.row(item.claim, answer, run.snapshot, at)
        content = item.claim.content if item.claim else None
        made = Recording(item.ask, run.caller, each.call, found, run.snapshot, at, content, each.salt)
        answer, entry = decide.recorder.decided(made, answer, reply)
        run.results[each.place], run.entries[each.place] = answer, entry
        if entry.reply is not None:
            run.replies[entry.reply.key] = entry.reply
        calls, denials = run.counts.get(item.counter, (0, 0))
        run.counts[item.counter] = (calls + 1, denials + (answer.effect is Effect.DENY))
        run.notes.append((item, answer.effect.value))

    def _refuse(self, run: _Run, place: int, fault: Fault) -> None:
        run.results[place] = fault
        if isinstance(fault, RECORDED):
            entry = self.decide.recorder.refused(run.caller, fault, RPC, run.at_ns)
            if entry is not None:
                run.entries[place] = entry

    async def _durable(self, run: _Run) -> tuple[Answered, ...]:
        """One commit; what was tentative until now becomes so."""
        places = sorted(run.entries)
        refs = await self.decide.recorder.commit_all(tuple(run.entries[place] for place in places))
        for item, effect in run.notes:
            self.decide.sessions.note(run.caller, item.identity, item.ask.session, effect, run.at_ns)
        known = {run.entries[place].record_id: ref for place, ref in zip(places, refs, strict=True)}
        return tuple(self._answered(run, place, known) for place in sorted(run.results))

    def _answered(self, run: _Run, place: int, known: Mapping[str, RecordRef]) -> Answered:
        answer = run.results[place]
        if isinstance(answer, Fault):
            return answer
        try:
            self.decide.check_late(answer, run.at_ns)  # a repeat too: the others, or the commit, may have taken long
            return answer, known.get(answer.decision_id) or self.decide.recorder.find(answer.decision_id)
        except _REFUSALS as fault:
            return fault


def _counted(call: Established, session: SessionFact, counts: tuple[int, int], *, guess: int = 0) -> Established:
    """A call whose session has its own counters and what this batch has added to them, or will by a guess."""
    if session.check.ok and session.calls != WORST_COUNT:
        session = replace(session, calls=session.calls + counts[0] + guess, denials=session.denials + counts[1])
    return replace(call, facts=replace(call.facts, session=session))
