"""What a batch under way consists of: what waits to be evaluated, and what it has come to so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pdp.core.answer import Answer
from pdp.core.check import WORST_COUNT
from pdp.core.errors import Fault
from pdp.core.facts import SessionFact
from pdp.core.outcome import Outcome
from pdp.core.request import Caller
from pdp.core.stored import Commit, ReplyRow
from pdp.service.decision import Decision
from pdp.service.state import Snapshot

Counter = tuple[str, str | None, str | None, str | None]  # session id, issuer, subject, agent


@dataclass(slots=True)
class Open:
    """A decision with its facts, to be evaluated. Its randomness is drawn in the order of the items. `session` is its
    session without what this batch counted; `guess`: the counters rest on answers that are not there yet."""

    place: int
    decision: Decision
    session: SessionFact
    guess: bool
    denied: Outcome | None = None  # without an evaluation


@dataclass(slots=True)
class Run:
    """What a batch has come to so far, by place; none of it is durable."""

    caller: Caller
    snapshot: Snapshot
    at_ns: int
    results: dict[int, Answer | Fault] = field(default_factory=dict)
    entries: dict[int, tuple[Commit, ...]] = field(default_factory=dict)
    replies: dict[str, ReplyRow] = field(default_factory=dict)
    begun: list[Decision] = field(default_factory=list)
    counts: dict[Counter, tuple[int, int]] = field(default_factory=dict)  # calls, denials
    answered: list[Decision] = field(default_factory=list)
    waiting: list[Open] = field(default_factory=list)
    outdated: bool = False  # a judge took so long that an allow rests on what is history by now
    end: int | None = None  # the item after which the rest is left to another commit

    def depends(self, decision: Decision) -> bool:
        """Whether an item repeats one that is still to be evaluated, and so has to wait for it."""
        claim = decision.claim
        return claim is not None and any(
            other.decision.claim is not None and other.decision.claim.key == claim.key for other in self.waiting
        )


def counter(decision: Decision) -> Counter:
    """Whose calls it counts among: a session belongs to the first who used it."""
    identity = decision.identity
    return decision.ask.session.id, identity.subject.issuer, identity.subject.id, identity.agent.id


def counted(session: SessionFact, counts: tuple[int, int], *, guess: int = 0) -> SessionFact:
    """A session with its own counters and what this batch has added to them, or will by a guess."""
    if not session.check.ok or session.calls == WORST_COUNT:
        return session
    return replace(session, calls=session.calls + counts[0] + guess, denials=session.denials + counts[1])
