"""How many requests are open for one group: read by whoever asks, and again in the commit that opens one more."""

from __future__ import annotations

from sqlalchemy import Select, func, select

from pdp.store.people import tables as t


def open_for(tenant: str, group: str) -> Select[int]:
    """Open requests of a tenant that have a seat for a group. Goes through the open ones, not through history."""
    c = t.approvals.c
    seat = select(t.seats.c.group_id).where(t.seats.c.approval_id == c.id, t.seats.c.group_id == group)
    return select(func.count().label("n")).select_from(t.approvals).where(c.tenant == tenant, t.OPEN, seat.exists())
