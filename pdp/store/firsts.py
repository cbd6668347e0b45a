"""What was named for the first time: by tenant, sort and keyed index, with the record that named it.

Each tenant keeps so many of a sort, then one mark (an empty name) for all that has no place. Nothing is pruned: what
is forgotten would be new again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection, func, insert, select

from pdp.core.record.stored import FULL, MOST_FIRSTS, FirstRow
from pdp.store.tables import firsts


def keep(db: Connection, rows: Iterable[FirstRow], most: int = MOST_FIRSTS) -> tuple[FirstRow, ...]:
    """Keep what is not known yet, in the current transaction, which holds the log's write lock. Returns the rows as
    they stand: with the record that named each first, or as the mark where there is no place for it."""
    return tuple([_kept(db, row, most) for row in rows])


def _kept(db: Connection, row: FirstRow, most: int) -> FirstRow:
    c = firsts.c
    sort = (c.tenant == row.tenant, c.sort == row.sort)
    known = db.execute(select(c.record).where(*sort, c.idx == row.name)).scalar_one_or_none()
    if known is not None:
        return replace(row, index=known)
    if row.name != FULL and db.execute(select(func.count()).where(*sort, c.idx != FULL)).scalar_one() >= most:
        return _kept(db, replace(row, name=FULL), most)
    db.execute(insert(firsts).values(tenant=row.tenant, sort=row.sort, idx=row.name, record=row.index))
    return row
