"""Consumes single-use approvals atomically with the decision record (compare-and-swap).

The commit is conditional on the versions of the rows read, on policy, switches and the registry's high-water marks:
the first commit wins, and the other call reads and evaluates again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pdp.core.approvals.call import CallContext
from pdp.core.approvals.steps import Expect, Move, Step, TakeAnswer, Use, UseConsent
from pdp.core.outcome.evidence import SourcedEvidence
from pdp.core.ports import Entropy
from pdp.core.ports.commit import Commit
from pdp.core.record import approvals as records
from pdp.core.record.approvals import Spent
from pdp.core.record.encoding import RANDOM_BYTES, Stamp, uuid7
from pdp.core.rows.approvals import Answered, Approval, Consent, Grant
from pdp.core.rows.states import Event
from pdp.decide.commit import Recorder


@dataclass(frozen=True, slots=True)
class Redemption:
    """One redemption; its id is the same in every replay of the answer."""

    id: str
    entries: tuple[Commit, ...]


@dataclass(frozen=True, slots=True)
class Redeem:
    """Makes the entries that consume the evidence of an allow."""

    recorder: Recorder
    entropy: Entropy

    def __call__(
        self,
        context: CallContext,
        held: tuple[SourcedEvidence, ...],
        call_id: str,
        decision_id: str,
        expected: Expect,
        at_ns: int,
    ) -> Redemption | None:
        """The redemption; None for an allow without consumable evidence."""
        used = [each for each in held if each.source is not None and _settles(each)]
        if not used:
            return None
        redemption = uuid7(at_ns, self.entropy.bytes(RANDOM_BYTES))
        spent = Spent(decision_id, redemption, call_id)
        first: tuple[Step, ...] = (expected,)
        entries = []
        for each in used:
            kind, record, step = _spend(each, context, spent, at_ns)
            entries.append(self.recorder.event(context.tenant, kind, record, (*first, step), at_ns))
            first = ()
        return Redemption(redemption, tuple(entries))


def _settles(held: SourcedEvidence) -> bool:
    """Whether an allow consumes the evidence; refused or failed evidence unlocks nothing, and stays."""
    element = held.element
    return element["state"] == "met" if "state" in element else element.get("verdict") is not None


def _spend(
    held: SourcedEvidence, context: CallContext, spent: Spent, at_ns: int
) -> tuple[str, Callable[[Stamp], bytes], Step]:
    match held.source:
        case Approval() as approval:
            move = Move(
                approval.id,
                approval.version,
                Event.REDEEM,
                at_ns,
                redemption_id=spent.redemption_id,
                call_id=spent.call_id,
            )
            return "approval", lambda stamp: records.moved(stamp, approval, move, spent), move
        case Grant() as grant:
            return (
                "grant",
                lambda stamp: records.grant_used(stamp, grant, context.call, spent),
                Use(grant.id, grant.version, at_ns),
            )
        case Consent() as consent:
            return (
                "consent",
                lambda stamp: records.consent_used(stamp, consent, context.call, spent),
                UseConsent(consent.id, consent.version, at_ns),
            )
        case Answered() as answered:
            return (
                "evidence",
                lambda stamp: records.evidence_used(stamp, answered, spent),
                TakeAnswer(answered, spent.redemption_id, at_ns),
            )
        case None:
            raise TypeError(held)
