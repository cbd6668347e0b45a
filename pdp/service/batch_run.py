"""What a batch under way consists of: its items, what waits to be evaluated, and what it has come to so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pdp.core.answer import Answer
from pdp.core.check import WORST_COUNT
from pdp.core.errors import Fault
from pdp.core.facts import Identity, SessionFact
from pdp.core.outcome import Outcome
from pdp.core.request import Ask, Caller
from pdp.core.stored import Commit, ReplyRow
from pdp.service.approvals.resolve import Asking
from pdp.service.facts import CallContext
from pdp.service.idempotency import Claim
from pdp.service.state import Snapshot

Counter = tuple[str, str | None, str | None, str | None]  # session id, issuer, subject, agent


@dataclass(frozen=True, slots=True)
class Item:
    """One question, and what is known of it before anything is evaluated."""

    ask: Ask
    identity: Identity
    claim: Claim | None

    @property
    def counter(self) -> Counter:
        """Whose calls it counts among: a session belongs to the first who used it."""
        subject = self.identity.subject
        return self.ask.session.id, subject.issuer, subject.id, self.identity.agent.id

    def meets(self, other: Item) -> bool:
        """Whether one is a repeat of the other."""
        return self.claim is not None and other.claim is not None and self.claim.key == other.claim.key


@dataclass(frozen=True, slots=True)
class Open:
    """An item with its facts, to be evaluated. Its randomness is drawn in the order of the items. `session` is its
    session without what this batch counted; `guess`: the counters rest on answers that are not there yet."""

    place: int
    item: Item
    call: CallContext
    session: SessionFact
    guess: bool
    decision_id: str
    salt: bytes
    denied: Outcome | None = None  # without an evaluation


@dataclass(slots=True)
class Run:
    """What a batch has come to so far, by place; none of it is durable."""

    caller: Caller
    snapshot: Snapshot
    at_ns: int
    rested: set[str]  # as `Asking` has it, over all tries of this commit
    results: dict[int, Answer | Fault] = field(default_factory=dict)
    entries: dict[int, tuple[Commit, ...]] = field(default_factory=dict)
    replies: dict[str, ReplyRow] = field(default_factory=dict)
    calls: list[CallContext] = field(default_factory=list)
    counts: dict[Counter, tuple[int, int]] = field(default_factory=dict)  # calls, denials
    notes: list[tuple[Item, str]] = field(default_factory=list)
    waiting: list[Open] = field(default_factory=list)
    outdated: bool = False  # a judge took so long that an allow rests on what is history by now
    end: int | None = None  # the item after which the rest is left to another commit

    def depends(self, item: Item) -> bool:
        """Whether an item has to wait for one that is still to be evaluated."""
        return any(item.meets(other.item) for other in self.waiting)


def asking(run: Run, item: Item, call: CallContext) -> Asking:
    """One item as a question of its own."""
    return Asking(item.ask, run.caller, item.claim, call, run.snapshot, run.at_ns, run.rested)


def counted(call: CallContext, session: SessionFact, counts: tuple[int, int], *, guess: int = 0) -> CallContext:
    """A call whose session has its own counters and what this batch has added to them, or will by a guess."""
    if session.check.ok and session.calls != WORST_COUNT:
        session = replace(session, calls=session.calls + counts[0] + guess, denials=session.denials + counts[1])
    return replace(call, facts=replace(call.facts, session=session))
