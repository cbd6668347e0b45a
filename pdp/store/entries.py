"""Validation of entries before a write, on either database."""

from __future__ import annotations

from collections.abc import Iterable

from pdp.core.errors import Conflict, Fault, InvalidRequest
from pdp.core.stored import Commit, ValueRow
from pdp.store.marks import OWN

VALUES_PER_RECORD = 16


def places(entry: Commit, index: int) -> Iterable[tuple[int, ValueRow]]:
    """The entry's values, each with its place in the side table: 16 times the record's index and on.

    Raises Fault `store.entry` where they are more or another record's."""
    if len(entry.values) > VALUES_PER_RECORD or any(v.record_id != entry.record_id for v in entry.values):
        raise Fault("store.entry", "values: at most 16, all of the record they are committed with")
    return enumerate(entry.values, VALUES_PER_RECORD * index)


def settable(name: str) -> str:
    """The name of a high-water mark that an entry may set; Fault `store.entry` for the store's own."""
    if name in OWN:
        raise Fault("store.entry", f"high_water: {name} is the store's own; name another")
    return name


def reused() -> InvalidRequest:
    """The reply's key is taken by other content."""
    return InvalidRequest("request_id", "was used for another request; use a new id", code="request.id_reused")


def salt_taken() -> Conflict:
    """Another request drew a salt for the same call first."""
    return Conflict("store.conflict", "the same call was asked about at the same time; send it again")
