"""Tables that only PostgreSQL needs."""

from __future__ import annotations

from sqlalchemy import Column, Table

from pdp.store.columns import Integer, key, number
from pdp.store.tables import metadata

head = Table(  # one row: a writer locks it, so commits are serialised
    "head",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    number("size"),
    number("changes"),  # how often switches or marks changed
)

runs = Table("runs", metadata, key("boot"))  # processes that have not ended well
