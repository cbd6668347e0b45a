"""Reading the records of a store that another process may be writing: read-only, a page at a time, no lock taken."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from pdp.core.errors import ConfigurationFault, Unavailable
from pdp.store.schema import FILE

_PAGE = 2_000  # each page is a transaction of its own: a long one would keep the writer's log from being emptied


def records_with(
    directory: Path, text: str, *, kinds: tuple[str, ...], tenant: str | None = None, since_ns: int = 0
) -> Iterator[bytes]:
    """The bytes of records of these kinds that hold `text`, in the log's order; `tenant` None means every tenant.

    Raises ConfigurationFault `store.path` (no store there) and Unavailable `store.unreadable`.
    """
    path = directory / FILE
    if not path.is_file():
        raise ConfigurationFault("store.path", f"there is no {FILE} here; give the folder that `store.path` names")
    chosen = ", ".join("?" * len(kinds))
    # one page ends where the index says, so pages without a hit move on as well
    query = f"""SELECT idx, kind IN ({chosen}) AND time_ns >= ? AND (? IS NULL OR tenant = ?)
        AND instr(bytes, ?) > 0 AS hit, bytes FROM records WHERE idx >= ? AND idx < ? ORDER BY idx"""  # noqa: S608 - only question marks are put in
    given = (*kinds, since_ns, tenant, tenant, text.encode())
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, isolation_level=None)) as db:
            end = db.execute("SELECT coalesce(max(idx) + 1, 0) FROM records").fetchone()[0]
            for start in range(0, end, _PAGE):
                rows = db.execute(query, (*given, start, start + _PAGE)).fetchall()
                yield from (bytes(raw) for _, hit, raw in rows if hit)
    except sqlite3.Error as error:
        raise Unavailable(
            "store.unreadable", "the store cannot be read; run this as the user that may read it", detail=str(error)
        ) from None
