"""Sans I/O: what follows an answer. Waiting for a pending call, and reporting what became of an allowed one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from pdp.client import responses
from pdp.client.requests_decide import NotARequestError, Refuse, subject, unfit
from pdp.client.values import Credential, Outcome, Reason, Reported, Waited
from pdp.v1 import decision_pb2

_GONE = responses.CODES[grpc.StatusCode.NOT_FOUND]
_MAX_SECONDS = 86_400  # nobody means more
_OUTCOMES: Mapping[str, decision_pb2.Outcome.ValueType] = {
    "done": decision_pb2.OUTCOME_DONE,
    "failed": decision_pb2.OUTCOME_FAILED,
    "unknown": decision_pb2.OUTCOME_UNKNOWN,
}


def not_waited(request_id: str, code: str, message: str, server_code: str = "") -> Waited:
    """A wait that failed: nothing is known, so nothing is permitted."""
    del request_id  # a wait has none
    return Waited(again=False, reasons=(Reason(code, message),), server_code=server_code, gone=code == _GONE)


def not_reported(request_id: str, code: str, message: str, server_code: str = "") -> Reported:
    """A report that is not known to have arrived."""
    del request_id  # the same report again needs none of its own
    return Reported(noted=False, reasons=(Reason(code, message),), server_code=server_code)


@dataclass(frozen=True, slots=True)
class WaitQuestion:
    """Is it worth asking again? `max_wait` in seconds; the service waits 50 at most."""

    resume_token: str
    credential: Credential
    max_wait: float
    request_id: str = ""  # a wait has none
    refuse: Refuse[Waited] = not_waited

    def patience(self, timeout: float) -> float:
        """Seconds for all of it, if an answer alone may take `timeout`."""
        return timeout + self.max_wait if _is_a_wait(self.max_wait) else timeout

    def request(self) -> decision_pb2.WaitDecisionRequest:
        """See `Question`."""
        if not self.resume_token:
            raise NotARequestError("resume_token: is empty; it comes with a pending answer")
        try:
            return decision_pb2.WaitDecisionRequest(
                resume_token=self.resume_token, credential=subject(self.credential), max_wait=_duration(self.max_wait)
            )
        except (TypeError, ValueError) as error:
            raise unfit(error) from None

    def read(self, response: decision_pb2.WaitDecisionResponse, _now: float) -> Waited:
        """See `Question`. An outcome that this client does not know is read as still pending."""
        if response.outcome == decision_pb2.WAIT_OUTCOME_ASK_AGAIN:
            return Waited(again=True)
        return Waited(again=False, requirements=responses.requirements(response.pending))


@dataclass(frozen=True, slots=True)
class OutcomeQuestion:
    """Note what became of an allowed call."""

    request_id: str
    decision_id: str
    outcome: Outcome
    redemption_id: str
    finished_at: datetime | None
    refuse: Refuse[Reported] = not_reported

    def request(self) -> decision_pb2.ReportOutcomeRequest:
        """See `Question`."""
        if self.outcome not in _OUTCOMES:
            raise NotARequestError("outcome: must be done, failed or unknown")
        try:
            return decision_pb2.ReportOutcomeRequest(
                request_id=self.request_id,
                decision_id=self.decision_id,
                redemption_id=self.redemption_id,
                outcome=_OUTCOMES[self.outcome],
                finished_at=_timestamp(self.finished_at),
            )
        except (TypeError, ValueError) as error:
            raise unfit(error) from None

    def read(self, response: decision_pb2.ReportOutcomeResponse, _now: float) -> Reported:
        """See `Question`."""
        if not response.HasField("record"):
            return self.refuse("", "client.malformed", "The service noted an outcome without a record.")
        return Reported(noted=True, record=responses.record(response.record))


def _is_a_wait(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 <= seconds <= _MAX_SECONDS


def _duration(seconds: float) -> Duration:
    if not _is_a_wait(seconds):
        raise NotARequestError("max_wait: must be seconds, from 0 to a day")
    whole = int(seconds)
    return Duration(seconds=whole, nanos=int((seconds - whole) * 1_000_000_000))


def _timestamp(at: datetime | None) -> Timestamp | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise NotARequestError("finished_at: needs a time zone")
    found = Timestamp()
    found.FromDatetime(at.astimezone(UTC).replace(tzinfo=None))
    return found
