"""The context of one call for people, standing answers and the judge; and evidence with its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

from pdp.core.approvals.rows import Answered, Approval, Call, Consent, Grant
from pdp.core.call.facts import Facts
from pdp.core.frozen import frozen
from pdp.core.outcome.evidence import Evidence
from pdp.core.record.stored import CallKeys, CallRow, StoredCall

Source: TypeAlias = Approval | Grant | Consent | Answered | None  # None: for this evaluation only, never redeemed


@frozen
class CallContext:
    """A call that has a digest. `arguments` are canonical; `stored` is what the store holds about it by `keys`."""

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
    working_folder: str = ""  # where it would run, as the caller says
    definition: Mapping[str, Any] = field(default_factory=dict)  # the pinned one
    until_ns: int = 0  # monotonic; when the caller stops waiting, 0 when it did not say
    fresh: CallRow | None = None  # what gives the call its digest, while that is not durable

    @property
    def repeated(self) -> bool:
        """Whether the call was seen before: otherwise it cannot have answers yet."""
        return self.stored.row is not None

    @property
    def value(self) -> Mapping[str, Any]:
        """The arguments, parsed."""
        return self.facts.arguments.value


@frozen
class SourcedEvidence:
    """Evidence, and the row behind it that an allow which rests on it redeems."""

    element: Evidence
    source: Source = None
