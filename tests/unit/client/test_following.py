"""Waiting and reporting: what is sent, how it is read, and that whatever goes wrong permits nothing."""

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from pdp.client import Record, Reported, Requirement, Session, Waited
from pdp.client.responses import CODES
from pdp.v1 import decision_pb2
from pdp.v1 import types_pb2 as t

AGAIN = decision_pb2.WaitDecisionResponse(outcome=decision_pb2.WAIT_OUTCOME_ASK_AGAIN)
WAITS = t.Requirement(
    id="r", kind=t.REQUIREMENT_KIND_APPROVAL, code="c", approval_id="a", url="https://x.example/requests/a"
)
STILL = decision_pb2.WaitDecisionResponse(
    outcome=decision_pb2.WAIT_OUTCOME_PENDING, pending=t.Pending(requirements=[WAITS])
)
NOTED = decision_pb2.ReportOutcomeResponse(record=t.RecordRef(log="l", index=7, leaf_hash=b"h" * 32))
EVERY = [s for s in grpc.StatusCode if s is not grpc.StatusCode.OK]


def test_a_wait_is_sent_as_given(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [AGAIN]
    assert ask("wait", target, "token", "users-token", 1.5, client={"token": "mine"}) == Waited(again=True)
    (request, metadata, left) = scripted.seen[0]
    assert (request.resume_token, request.credential.bearer) == ("token", "users-token")
    assert (request.max_wait.seconds, request.max_wait.nanos) == (1, 500_000_000)
    assert metadata["authorization"] == "Bearer mine"
    assert 5 < left <= 6.6  # the wait, and time for the answer


def test_what_still_waits_is_told(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [STILL]
    found = ask("wait", target, "token")
    assert (found.again, found.code, found.gone) == (False, "", False)
    assert found.requirements == (Requirement("r", "approval", "c", "https://x.example/requests/a", "", None, "a"),)
    assert scripted.requests[0].max_wait.seconds == 50


@pytest.mark.parametrize("outcome", [0, 1, 99])
def test_an_outcome_that_nobody_knows_is_no_reason_to_ask(ask: Any, target: Any, scripted: Any, outcome: int) -> None:
    scripted.script = [decision_pb2.WaitDecisionResponse(outcome=outcome)]
    assert not ask("wait", target, "token").again


@pytest.mark.parametrize("status", EVERY)
def test_every_error_of_a_wait_is_told_and_permits_nothing(
    ask: Any, target: Any, scripted: Any, status: grpc.StatusCode
) -> None:
    scripted.script = [(status, "Said by the service.", "a.code")]
    found = ask("wait", target, "token", None, 0)
    assert (found.again, found.requirements) == (False, ())
    assert (found.code, found.server_code) == (CODES.get(status, "client.error"), "a.code")
    assert found.gone == (status is grpc.StatusCode.NOT_FOUND)
    assert len(scripted.seen) == (2 if status is grpc.StatusCode.UNAVAILABLE else 1)


@pytest.mark.parametrize("bad", [("",), (5,), ("t", 5), ("t", None, -1), ("t", None, "1"), ("t", None, float("nan"))])
def test_a_wait_that_cannot_be_meant_is_not_sent(ask: Any, target: Any, scripted: Any, bad: tuple[Any, ...]) -> None:
    found = ask("wait", target, *bad)
    assert (found.again, found.code, scripted.seen) == (False, "client.request", [])


def test_a_report_is_sent_as_given(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [NOTED]
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    found = ask("report_outcome", target, "d-1", "unknown", redemption_id="r-1", finished_at=at, request_id="id-1")
    assert found == Reported(noted=True, record=Record("l", 7, b"h" * 32))
    (request,) = scripted.requests
    assert (request.request_id, request.decision_id, request.redemption_id) == ("id-1", "d-1", "r-1")
    assert request.outcome == decision_pb2.OUTCOME_UNKNOWN
    assert request.finished_at.seconds == int(at.timestamp())


@pytest.mark.parametrize(
    ("outcome", "number"), [("done", decision_pb2.OUTCOME_DONE), ("failed", decision_pb2.OUTCOME_FAILED)]
)
def test_the_other_outcomes(ask: Any, target: Any, scripted: Any, outcome: str, number: int) -> None:
    scripted.script = [NOTED]
    ask("report_outcome", target, "d-1", outcome)
    (request,) = scripted.requests
    assert (request.outcome, request.HasField("finished_at"), len(request.request_id)) == (number, False, 36)


@pytest.mark.parametrize("status", EVERY)
def test_every_error_of_a_report_is_told(ask: Any, target: Any, scripted: Any, status: grpc.StatusCode) -> None:
    scripted.script = [(status, "Said by the service.", "a.code")]
    found = ask("report_outcome", target, "d-1", "done")
    assert (found.noted, found.code, found.server_code) == (False, CODES.get(status, "client.error"), "a.code")
    if status is grpc.StatusCode.UNAVAILABLE:
        first, second = scripted.requests
        assert first == second  # the same report


def test_a_report_without_a_record_is_none(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [decision_pb2.ReportOutcomeResponse()]
    assert ask("report_outcome", target, "d-1", "done").code == "client.malformed"


@pytest.mark.parametrize(
    ("outcome", "more"),
    [("ok", {}), ("", {}), ("done", {"finished_at": datetime(2026, 1, 1)}), (5, {})],  # noqa: DTZ001
)
def test_a_report_that_cannot_be_meant_is_not_sent(
    ask: Any, target: Any, scripted: Any, outcome: Any, more: dict[str, Any]
) -> None:
    found = ask("report_outcome", target, "d-1", outcome, **more)
    assert (found.noted, found.code, scripted.seen) == (False, "client.request", [])


def test_the_end_of_a_session_is_sent_as_given(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [decision_pb2.EndSessionResponse(record=NOTED.record)]
    found = ask("end_session", target, Session("s-1"), "token", request_id="id-1")
    assert found == Reported(noted=True, record=Record("l", 7, b"h" * 32))
    (request,) = scripted.requests
    assert (request.request_id, request.session.id, request.credential.bearer) == ("id-1", "s-1", "token")


def test_a_session_that_is_not_ended_is_told(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [(grpc.StatusCode.NOT_FOUND, "There is none.", "session.unknown")]
    found = ask("end_session", target, Session("s-1"))
    assert (found.noted, found.server_code) == (False, "session.unknown")
    scripted.script = [decision_pb2.EndSessionResponse()]
    assert ask("end_session", target, Session("s-1")).code == "client.malformed"


def test_nobody_there_permits_nothing(ask: Any) -> None:
    nowhere = {"client": {"timeout": 0.2}}
    assert not ask("wait", "127.0.0.1:1", "token", None, 0, **nowhere).again
    assert not ask("report_outcome", "127.0.0.1:1", "d", "done", **nowhere).noted
