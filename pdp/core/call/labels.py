"""Labels of sessions, as stored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label of a pair (subject and agent), and the decision that put it there first. `pair` is a keyed index.

    `shown`: the request for its removal that showed this row to people. The row still counts, but the next decision
    that puts the label there leaves another row.
    """

    pair: str
    label: str
    code: str
    pack: str
    decision_id: str
    at_ns: int
    shown: str = ""
