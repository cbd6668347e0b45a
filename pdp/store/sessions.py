"""Owners of sessions, on either database: one row for each, until it has not been used for long.

When that is, the believed clock says: a wrong leap makes nobody's session another's.
"""

from __future__ import annotations

from sqlalchemy import Connection, Select, delete, select, text

from pdp.core.errors import Conflict
from pdp.core.stored import SessionRow
from pdp.store.tables import sessions

_C = sessions.c

# One statement, for each new session has one.
_BIND = text("""INSERT INTO sessions (idx, owner, until_ns) VALUES (:idx, :owner, :until_ns)
ON CONFLICT (idx) DO UPDATE SET owner = excluded.owner,
  until_ns = CASE WHEN sessions.until_ns > excluded.until_ns THEN sessions.until_ns ELSE excluded.until_ns END
WHERE sessions.owner = excluded.owner OR sessions.until_ns < :now_ns""")


def asked(index: str) -> Select[tuple[str, str, int]]:
    """The row of one session."""
    return select(_C.idx.label("index"), _C.owner, _C.until_ns).where(_C.idx == index)


def bind(db: Connection, row: SessionRow, now_ns: int) -> None:
    """In the current transaction, which holds the log's write lock. Raises Conflict where it is another's and was not
    over by then."""
    named = {"idx": row.index, "owner": row.owner, "until_ns": row.until_ns, "now_ns": now_ns}
    if db.execute(_BIND, named).rowcount == 0:
        raise Conflict("store.conflict", "the session was begun by another at the same time; send it again")


def forget(db: Connection, limit: int, at_ns: int) -> None:
    """Delete those that are over, `limit` at most."""
    over = select(_C.idx).where(_C.until_ns < at_ns).order_by(_C.until_ns).limit(limit)
    db.execute(delete(sessions).where(_C.idx.in_(over)))
