"""The context of one call for people, standing answers and the judge; and evidence with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from pdp.core.call.facts import Facts
from pdp.core.call.stored import CallKeys, StoredCall
from pdp.core.frozen import frozen
from pdp.core.rows.approvals import Call
from pdp.core.rows.log import CallRow


@frozen
class CallContext:
    """The context of a call with a digest. `arguments` are canonical; `stored` are its rows by `keys`."""

    tenant: str
    call: Call
    index: str  # the call's keyed index
    subject_index: str
    arguments: bytes
    facts: Facts
    keys: CallKeys
    stored: StoredCall
    observation: str = ""
    observation_vouched: bool = False
    working_folder: str = ""  # as the caller states it
    definition: Mapping[str, Any] = field(default_factory=dict)  # the pinned one
    until_ns: int = 0  # the caller's deadline, monotonic; 0: none
    fresh: CallRow | None = None  # the row with the call's digest, until it is durable

    @property
    def repeated(self) -> bool:
        """Whether the call has a stored row; a new call has no answers yet."""
        return self.stored.row is not None

    @property
    def value(self) -> Mapping[str, Any]:
        """The arguments, parsed."""
        return self.facts.arguments.value
