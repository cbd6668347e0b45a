"""Erases what is personal of a subject, and what is older than it is kept, of people's and the judge's answers."""

from __future__ import annotations

from sqlalchemy import Connection, delete, or_, select, update

from pdp.store.approvals import tables as t
from pdp.store.tables import calls, people, values

_NOTHING = b"false"  # the schema that no arguments satisfy

_KEPT = (values, calls)


def erase(db: Connection, tenant: str, subject: str) -> int:
    """Erase what is personal of a subject (a keyed index), in the current transaction. Returns how many rows went or
    were emptied."""
    count = sum(
        db.execute(delete(each).where(each.c.tenant == tenant, each.c.subject == subject)).rowcount for each in _KEPT
    )
    count += db.execute(
        delete(t.shown).where(t.shown.c.tenant == tenant, t.shown.c.subject_index == subject)
    ).rowcount
    c = people.c  # the pseudonym stays, and stands for nobody
    forgotten = update(people).where(c.tenant == tenant, c.subject == subject)
    count += db.execute(forgotten.values(subject="", kind="", issuer="", id="")).rowcount
    requests = select(t.approvals.c.id).where(t.approvals.c.tenant == tenant, t.approvals.c.subject_index == subject)
    said = update(t.votes).where(
        t.votes.c.approval_id.in_(requests), or_(t.votes.c.reason != "", t.votes.c.grant != b"")
    )
    said = said.values(reason="", grant=b"")
    c = t.grants.c
    bounds = update(t.grants).where(c.tenant == tenant, c.subject_index == subject, c.arguments_schema != _NOTHING)
    # a new version: who decided by the old bounds decides again
    emptied = bounds.values(arguments_schema=_NOTHING, version=c.version + 1)
    c = t.evidence.c
    advice = update(t.evidence).where(c.tenant == tenant, c.subject_index == subject, c.opinion != b"")
    changes = (said, emptied, advice.values(opinion=b""))
    return count + sum(db.execute(change).rowcount for change in changes)


def forget(db: Connection, limit: int, calls_ns: int, refusals_ns: int, values_ns: int | None) -> None:
    """Delete what nobody needs any more of what people and the judge answered, in the current transaction: what was
    made before these instants, of the `limit` oldest rows of each table, for it rides along with commits. Their
    records stay. Ids grow with time."""
    _messages(db, limit, calls_ns)
    _verdicts(db, limit, calls_ns, refusals_ns)
    if values_ns is not None:
        _said(db, limit, values_ns)


def _messages(db: Connection, limit: int, before_ns: int) -> None:
    """Delivered or given up."""
    c = t.notices.c
    oldest = select(c.id).where(c.done_ns > 0).order_by(c.id).limit(limit)
    db.execute(delete(t.notices).where(c.id.in_(oldest), c.done_ns < before_ns))


def _verdicts(db: Connection, limit: int, before_ns: int, refusals_ns: int) -> None:
    """Delete verdicts of calls that are over; of calls that are repeated all the time, those that expired long ago.
    Refusals stay for as long as they count."""
    c = t.evidence.c
    key = (c.call_digest, c.requirement_sha256)
    oldest = select(*key, c.refused, c.created_ns).where(c.created_ns < before_ns).order_by(c.created_ns).limit(limit)
    for *row, refused, created_ns in db.execute(oldest.where(c.expires_ns < before_ns)).all():
        if not refused or created_ns < refusals_ns:
            db.execute(delete(t.evidence).where(*(each == value for each, value in zip(key, row, strict=True))))


def _said(db: Connection, limit: int, before_ns: int) -> None:
    """Delete the shown content of requests that are over, and the reasons of votes."""
    over = select(t.approvals.c.id).where(t.approvals.c.resolved_ns.between(1, before_ns - 1))
    oldest = select(t.shown.c.approval_id).order_by(t.shown.c.approval_id).limit(limit)
    here = t.shown.c.approval_id
    gone = tuple(db.execute(select(here).where(here.in_(oldest), here.in_(over))).scalars())
    if gone:
        db.execute(delete(t.shown).where(here.in_(gone)))
        db.execute(update(t.votes).where(t.votes.c.approval_id.in_(gone)).values(reason="", grant=b""))
