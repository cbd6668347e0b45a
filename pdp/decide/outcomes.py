"""ReportOutcome: the outcome of an allowed call. "unknown" is an outcome too, and a fact for policy."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pdp.core.call.request import Caller
from pdp.core.errors import Conflict, NotFound, Outdated
from pdp.core.outcome import Effect
from pdp.core.ports import Clock, Store
from pdp.core.record import approvals as records
from pdp.core.rows.approvals import ReportedOutcome
from pdp.core.rows.log import RecordRef, StoredRecord
from pdp.decide.commit import Recorder

OUTCOMES = frozenset({"done", "failed", "unknown"})


@dataclass(frozen=True, slots=True)
class OutcomeReport:
    """A caller's report of an outcome. `outcome` is one of `OUTCOMES`; `finished_ns` is the caller's statement, at
    most now."""

    decision_id: str
    redemption_id: str
    outcome: str
    finished_ns: int = 0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """`DecisionService.ReportOutcome`."""

    store: Store
    recorder: Recorder
    clock: Clock

    async def __call__(self, report: OutcomeReport, caller: Caller) -> RecordRef:
        """Record the outcome; durable on return. A repeated report gets the same record. Raises NotFound (no such
        decision of this caller, or another redemption), Outdated (`outcome.not_allowed`; `outcome.noted` for
        another outcome than the recorded one)."""
        decision, noted = await self.store.read(lambda: self._decision(report, caller))
        at = self.clock.now_ns()
        if noted is not None and noted.outcome == report.outcome:
            return await self.recorder.locate(noted.record_id)
        if noted is not None and noted.outcome != "unknown":
            raise Outdated("outcome.noted", "Another outcome of this call is noted already.")
        record_id = self.recorder.new_id(at)
        outcome = ReportedOutcome(
            decision_id=report.decision_id,
            tenant=caller.tenant,
            caller=caller.name,
            call_digest=decision["call_digest"],
            redemption_id=decision["redemption_id"],
            outcome=report.outcome,
            at_ns=min(report.finished_ns or at, at),
            record_id=record_id,
        )
        try:
            return await self.recorder.commit_event(
                caller.tenant,
                "outcome",
                lambda stamp: records.outcome(stamp, outcome),
                (outcome,),
                at,
                record_id=record_id,
            )
        except Conflict:
            raise Outdated("outcome.noted", "Another outcome of this call is noted already.") from None

    def _decision(self, report: OutcomeReport, caller: Caller) -> tuple[dict[str, str], ReportedOutcome | None]:
        """The decision, and its recorded outcome."""
        stored = self.store.record(report.decision_id)
        record = json.loads(stored.record) if stored is not None else {}
        mine = (record.get("kind"), record.get("tenant"), record.get("caller"))
        if mine != ("decision", caller.tenant, caller.name):
            raise NotFound("outcome.decision", "There is no such decision.")
        carried_out = record["effect"] == Effect.ALLOW or record["enforcement"] != "enforced"
        if not carried_out or not record["call_digest"]:
            raise Outdated("outcome.not_allowed", "This decision allowed nothing, so nothing came of it.")
        redemption = redemption_of(self.store, stored) if stored is not None else ""
        if report.redemption_id not in ("", redemption):
            raise NotFound("outcome.decision", "There is no such decision.")
        noted = self.store.outcome(report.decision_id)
        return {"call_digest": record["call_digest"], "redemption_id": redemption}, noted


def redemption_of(store: Store, decision: StoredRecord) -> str:
    """The redemption id of a decision, "" for none: its record follows in the log, by the same commit."""
    following = store.record_at(decision.ref.index + 1)
    spent = json.loads(following.record).get("spent") if following is not None else None
    return str(spent["redemption_id"]) if spent and spent["decision_id"] == decision.record_id else ""
