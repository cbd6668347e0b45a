"""What an allowed call leaves behind on those who made it: labels, and a result that is to be inspected.

Labels belong to the pair of subject and agent, not to a session: no new session launders them. A session that another
agent's session started shares the labels of the first one of its task, in both directions. What was written into a
`memory` sink keeps the labels that its writer had, and an agent that calls its server for the same subject gets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import filterfalse
from operator import attrgetter

from pdp.core.bytes.digest import every_index, lasting_index
from pdp.core.call.budgets import BudgetReservation
from pdp.core.call.facts import SessionFact, TargetFact
from pdp.core.call.labels import LabelRow
from pdp.core.call.request import Caller
from pdp.core.check import NS
from pdp.core.frozen import frozen
from pdp.core.record.stored import (
    CallKeys,
    PairChange,
    ReplyRow,
    SeenText,
    SessionOpening,
    SessionOver,
    SessionRow,
    StoredCall,
)

MOST_LABELS = 64  # of one call; where there are more it has the worst
MOST_AWAITED = 64  # results of one pair; one more counts as a result that nobody inspects

ENDED_NS = 30 * 24 * 3600 * NS  # how long the id of an ended session is refused

SETTLED_NS = 60 * NS  # after its time a session may go on by a call that was decided before
BY_TIME = "time"  # what ended a session, in its record

HANDLE = "s1."  # how handles of sessions begin

UNOBSERVED = "unobserved"  # a result that nobody inspects or will: the labels may be incomplete
# The pair has results that are awaited outside the store: where these are not known, that is as good as unobserved.
ELSEWHERE = "awaited_elsewhere"
_UNKNOWING = frozenset({UNOBSERVED, ELSEWHERE})
MEMORY = "memory"  # the kind of sink that brings back what it was given

_PUT = ("manifest.labels", "")  # code and pack of what manifests say
_UNSEEN = ("session.unobserved", "")
_NOT_IN_COPY = "store.restored"  # code of what may have come after the copy that a store was made from
_pair, _put_on, _shown = attrgetter("pair"), attrgetter("pair", "label"), attrgetter("shown")


@frozen
class SessionEffects:
    """What an answer does to its session in the store, and to subject and agent."""

    session: SessionRow | None = None
    labels: tuple[LabelRow, ...] = ()
    pairs: tuple[PairChange, ...] = ()
    seen: tuple[SeenText, ...] = ()
    reserves: tuple[BudgetReservation, ...] = ()

    def record_labels(self, keys: CallKeys) -> set[tuple[str, str, str, str]]:
        """Its labels as a record says them: on what, label, code, pack."""
        on = {keys.pair: "agent", keys.also: "memory"}
        return {(on.get(row.pair, "task"), row.label, row.code, row.pack) for row in self.labels}


NO_EFFECTS = SessionEffects()


def pair_index(key: bytes, tenant: str, issuer: str | None, subject: str | None, agent: str | None) -> str:
    """The keyed index of a subject and an agent."""
    return lasting_index(key, "pair", tenant, issuer, subject, agent)


def session_index(key: bytes, caller: Caller, session: str) -> str:
    """The keyed index of a session; empty where none is named."""
    return lasting_index(key, "session of", caller.tenant, caller.name, session) if session else ""


def named_session_index(key: bytes, tenant: str, caller: str, session: str) -> str:
    """The same by the name of the caller."""
    return lasting_index(key, "session of", tenant, caller, session) if session else ""


def indexes_in_records(key: bytes, tenant: str, caller: str, session: str) -> tuple[str, ...]:
    """Those that records may have of a session, which is named: one for each secret that the key had at the time."""
    return every_index(key, "session", tenant, caller, session)


def observed(labels: Iterable[LabelRow], awaited: int) -> bool:
    """Whether the labels are all there may be."""
    rows = tuple(labels)
    return not awaited and len(rows) <= MOST_LABELS and not _UNKNOWING.intersection(map(attrgetter("label"), rows))


def not_in_copy(pair: str, restored_ns: int) -> LabelRow:
    """The label of a pair, or a memory, that was not emptied since its store was made from a copy: what it read
    between the two is not known."""
    return LabelRow(pair, UNOBSERVED, _NOT_IN_COPY, "", "", restored_ns)


def allowed(  # noqa: PLR0913 - the parts of one allow
    decision_id: str,
    at_ns: int,
    target: TargetFact,
    session: SessionFact,
    keys: CallKeys,
    stored: StoredCall,
    *,
    inspects: bool,
) -> SessionEffects:
    """New labels and awaited results with an allow, of a call whose session is sound. `inspects`: its caller will
    have the result inspected."""
    places = places_of(keys, session)
    there = () if session.reset else stored.labels
    put = [(label, *_PUT, decision_id, at_ns) for label in target.labels] if target.labels else []
    if keys.also and keys.also in map(_pair, stored.labels):  # of a memory: what went in comes out
        put += [
            (row.label, row.code, row.pack, row.decision_id, row.at_ns)
            for row in stored.labels
            if row.pair == keys.also and (target.memory or row.code != _NOT_IN_COPY)
        ]
    inspects = inspects and stored.awaited < MOST_AWAITED
    if not inspects:
        put.append((UNOBSERVED, *_UNSEEN, decision_id, at_ns))
    labels = list(_new(places, put, there)) if put else []
    labels += took_part(session, keys, (*there, *labels))
    if keys.also and target.sinks and any(sink.kind == MEMORY for sink in target.sinks):
        written = [(row.label, row.code, row.pack, row.decision_id, row.at_ns) for row in session.label_sources]
        named = {label for label, *_ in written}
        written += [(label, *_UNSEEN, decision_id, at_ns) for label in session.labels if label not in named]
        labels += _new((keys.also,), written, stored.labels)
    changes = [PairChange(place, awaits=(decision_id,)) for place in places] if inspects else []
    if not labels and not changes:
        return NO_EFFECTS
    return SessionEffects(labels=tuple(labels), pairs=tuple(changes))


def took_part(session: SessionFact, keys: CallKeys, there: Iterable[LabelRow]) -> tuple[LabelRow, ...]:
    """New labels of an agent that another one started: what the task has read stays with everybody who took part in
    it, whatever was answered, for the next call need not name the parent."""
    if not narrowed(session, keys):
        return ()
    shared = [(row.label, row.code, row.pack, row.decision_id, row.at_ns) for row in session.label_sources]
    return tuple(_new((keys.pair,), shared, there))


def inspected(
    decision_id: str,
    at_ns: int,
    labels: Iterable[tuple[str, str, str]],
    keys: CallKeys,
    session: SessionFact,
    stored: StoredCall,
) -> SessionEffects:
    """New labels with the inspected result of an allowed call, which is awaited no longer. `labels`: with code and
    pack."""
    places = places_of(keys, session)
    put = [(label, code, pack, decision_id, at_ns) for label, code, pack in labels]
    changes = tuple(PairChange(place, inspected=(decision_id,)) for place in places)
    return SessionEffects(labels=tuple(_new(places, put, stored.labels)), pairs=changes)


def together(first: SessionRow, then: SessionRow) -> SessionRow | None:
    """A session after two changes; None where one of them may refuse the other."""
    fixed = (first.owner, first.state, first.parent, first.tree) == (then.owner, then.state, then.parent, then.tree)
    bound = ((first.task, then.task), (first.scopes, then.scopes), (first.address, then.address))
    if not fixed or first.state != "open" or any(one and other and one != other for one, other in bound):
        return None
    return replace(
        first,
        until_ns=max(first.until_ns, then.until_ns),
        opened_ns=min(first.opened_ns, then.opened_ns),
        used_ns=max(first.used_ns, then.used_ns),
        over_ns=max(first.over_ns, then.over_ns),
        calls=first.calls + then.calls,
        denials=first.denials + then.denials,
        task=first.task or then.task,
        scopes=first.scopes or then.scopes,
        address=first.address or then.address,
    )


def is_handle(parent: str) -> bool:
    """Whether it is meant to be a session's handle, and no id."""
    return parent.startswith(HANDLE)


def narrowed(session: SessionFact, keys: CallKeys) -> bool:
    """Whether another agent's session started this one: then no standing answer counts, for it may be one that the
    agent that started it does not have."""
    return bool(session.tree) and session.tree != keys.pair


def ended(row: SessionRow, at_ns: int) -> SessionRow:
    """A session that ends at an instant; its row is kept, so that its id stays refused."""
    return replace(row, state="ended", over_ns=at_ns, until_ns=max(row.until_ns, at_ns + ENDED_NS))


def end_of(row: SessionRow) -> SessionOver:
    """What the record of the end of this session is about, which has ended."""
    return SessionOver(row.index, row.opened_ns, row.over_ns + 1)


def over_by_time(
    opening: SessionOpening, row: SessionRow | None, idle_ns: int, at_ns: int
) -> SessionOver | SessionOpening:
    """The end by time of what was opened, for its record; or the opening, to be looked at again later. `row` is what
    is known under its index now: its session, a later one, or nothing any more.

    Processes that open a session at the same time leave an opening each, less than `idle_ns` apart, and the row has
    the first instant."""
    if row is not None and row.opened_ns <= opening.opened_ns:
        due_ns = (row.over_ns if row.state == "open" else row.until_ns) + SETTLED_NS
        if at_ns < due_ns:
            return replace(opening, due_ns=due_ns)
        return SessionOver(row.index, row.opened_ns, max(row.over_ns, opening.opened_ns + 1), by_time=True)
    before_ns = opening.opened_ns + idle_ns
    if row is not None:
        before_ns = min(before_ns, row.opened_ns)
    return SessionOver(opening.index, opening.opened_ns, before_ns, by_time=True)


def since(stored: StoredCall, started_ns: int) -> StoredCall:
    """What is kept of a call without verdicts and answers that are older than its session: an earlier one under the
    same id had those. What people said about exactly this call stands, and so does a refusal."""
    if not stored.answers and stored.redeemed is None and stored.reply is None:
        return stored
    return replace(
        stored,
        answers=tuple(each for each in stored.answers if each.refused or each.created_ns >= started_ns),
        redeemed=_unless_older(stored.redeemed, started_ns),
        reply=_unless_older(stored.reply, started_ns),
    )


def _unless_older(reply: ReplyRow | None, started_ns: int) -> ReplyRow | None:
    return reply if reply is not None and reply.created_ns >= started_ns else None


def ordered(labels: Iterable[LabelRow]) -> tuple[LabelRow, ...]:
    """The oldest first."""
    return tuple(sorted(labels, key=attrgetter("at_ns", "label", "pair")))


def places_of(keys: CallKeys, session: SessionFact) -> tuple[str, ...]:
    """The pairs that the labels of a call are put on."""
    return tuple(dict.fromkeys(filter(None, (keys.pair, session.tree))))


def _new(
    places: Iterable[str], put: Iterable[tuple[str, str, str, str, int]], there: Iterable[LabelRow]
) -> Iterator[LabelRow]:
    labelled = set(map(_put_on, filterfalse(_shown, there)))
    for place in places:
        for label in put:
            if (place, label[0]) not in labelled:
                labelled.add((place, label[0]))
                yield LabelRow(place, *label)
