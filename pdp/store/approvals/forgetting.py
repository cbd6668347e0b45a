"""Retention: deletes expired approvals and verdicts, on either database. It reads only the oldest rows, because it
runs within commits. Their records stay."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select, update

from pdp.store.approvals import tables as t
from pdp.store.ledger import Ages


def forget(db: Connection, limit: int, ages: Ages) -> None:
    """In the current transaction; of each table at most `limit` rows. Ids grow with time."""
    _messages(db, limit, ages.calls_ns)
    _verdicts(db, limit, ages.calls_ns, ages.refusals_ns)
    if ages.values_ns is not None:
        _said(db, limit, ages.values_ns)


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
