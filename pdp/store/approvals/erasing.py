"""Erases what is personal of a subject, on either database."""

from __future__ import annotations

from sqlalchemy import Connection, delete, or_, select, update

from pdp.store.approvals import tables as t
from pdp.store.tables import calls, values

_NOTHING = b"false"  # the schema that no arguments satisfy

_KEPT = (values, calls)


def erase(db: Connection, tenant: str, subject: str) -> int:
    """In the current transaction; `subject` is the keyed index. Returns how many rows went or were emptied."""
    count = sum(
        db.execute(delete(each).where(each.c.tenant == tenant, each.c.subject == subject)).rowcount for each in _KEPT
    )
    count += db.execute(
        delete(t.shown).where(t.shown.c.tenant == tenant, t.shown.c.subject_index == subject)
    ).rowcount
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
