"""Counts of open requests: read before one more request is opened, and again in the commit that opens it."""

from __future__ import annotations

from sqlalchemy import Select, func, literal, select

from pdp.core.approvals.rows import Call
from pdp.core.approvals.states import State
from pdp.store.approvals import tables as t
from pdp.store.columns import Flag


def open_for(tenant: str, group: str) -> Select[int]:
    """Open requests of a tenant that have a seat for a group. Goes through the open ones, not through history."""
    c = t.approvals.c
    seat = select(t.seats.c.group_id).where(t.seats.c.approval_id == c.id, t.seats.c.group_id == group)
    return select(func.count().label("n")).select_from(t.approvals).where(c.tenant == tenant, t.OPEN, seat.exists())


def waiting_like(tenant: str, call: Call, at_ns: int) -> Select[int]:
    """Requests for other calls of the same subject, agent, server and tool for which people are still to answer."""
    c = t.approvals.c
    like = select(func.count().label("n")).select_from(t.approvals).where(c.tenant == tenant, t.OPEN)
    like = like.where(c.call_subject_id == call.subject.id, c.call_subject_issuer == call.subject.issuer)
    like = like.where(c.call_agent == call.agent, c.call_server == call.server, c.call_tool == call.tool)
    like = like.where(c.state == State.PENDING, c.expires_ns > at_ns, c.call_digest != call.digest)
    return like.where(c.canary == literal(value=False, type_=Flag()))
