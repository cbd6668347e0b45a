"""A label of a session as the store keeps it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label of a pair (subject and agent), and which decision put it there first. `pair` is a keyed index.

    `shown`: the request to remove it, which people were shown this row. It counts as before, but what puts the label
    there from then on leaves another row.
    """

    pair: str
    label: str
    code: str
    pack: str
    decision_id: str
    at_ns: int
    shown: str = ""
