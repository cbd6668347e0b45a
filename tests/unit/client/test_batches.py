"""Several questions at once: one decision for each, and a denial wherever there is a doubt."""

from typing import Any

import grpc
import pytest

from pdp.client import ToolCall
from pdp.v1 import decision_pb2
from pdp.v1 import types_pb2 as t

CALLS = (ToolCall("git", "git_status"), ToolCall("git", "git_log", {"max_count": 3}))


def batch(*items: Any) -> decision_pb2.DecideBatchResponse:
    return decision_pb2.DecideBatchResponse(
        items=[
            decision_pb2.BatchItem(response=i)
            if isinstance(i, decision_pb2.DecideResponse)
            else decision_pb2.BatchItem(error=i)
            if isinstance(i, decision_pb2.BatchError)
            else decision_pb2.BatchItem()
            for i in items
        ]
    )


def test_each_call_has_its_own_answer(ask: Any, target: Any, scripted: Any) -> None:
    allow = scripted.script[0]
    refused = decision_pb2.BatchError(code=grpc.StatusCode.PERMISSION_DENIED.value[0], message="Not this server.")
    scripted.script = [batch(allow, refused)]
    first, second = ask("decide_batch", target, CALLS, "users-token", request_ids=["r-1", "r-2"])
    (request,) = scripted.requests
    assert [r.request_id for r in request.requests] == ["r-1", "r-2"]
    assert [r.target.tool.name for r in request.requests] == ["git_status", "git_log"]
    assert {r.credential.bearer for r in request.requests} == {"users-token"}
    assert (first.allowed, first.request_id) == (True, "r-1")
    assert (second.allowed, second.code, second.request_id) == (False, "client.forbidden", "r-2")


def test_an_answer_is_read_as_a_single_one_would_be(ask: Any, target: Any, scripted: Any) -> None:
    obliged = decision_pb2.DecideResponse()
    obliged.CopyFrom(scripted.script[0])
    obliged.obligations.append(t.Obligation(kind="redact", code="c"))
    scripted.script = [batch(obliged, obliged)]
    assert {d.code for d in ask("decide_batch", target, CALLS)} == {"client.obligation"}
    assert all(d.allowed for d in ask("decide_batch", target, CALLS, client={"obligations": ["redact"]}))


@pytest.mark.parametrize("items", [(), ("allow",), ("allow", "allow", "allow")])
def test_another_number_of_answers_denies_all(ask: Any, target: Any, scripted: Any, items: Any) -> None:
    scripted.script = [batch(*(scripted.script[0] for _ in items))]
    found = ask("decide_batch", target, CALLS)
    assert [(d.allowed, d.code) for d in found] == [(False, "client.malformed")] * 2


def test_an_item_without_an_answer_is_a_denial(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [batch(scripted.script[0], None)]
    assert [d.allowed for d in ask("decide_batch", target, CALLS)] == [True, False]


def test_an_error_nobody_knows_is_a_denial(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [batch(decision_pb2.BatchError(code=0), decision_pb2.BatchError(code=99))]
    assert [(d.allowed, d.code) for d in ask("decide_batch", target, CALLS)] == [(False, "client.error")] * 2


def test_an_error_of_the_whole_denies_all(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [(grpc.StatusCode.INVALID_ARGUMENT, "requests: has more than 64 items", "request.malformed")]
    found = ask("decide_batch", target, CALLS)
    assert [(d.allowed, d.code, d.server_code) for d in found] == [
        (False, "client.invalid_request", "request.malformed")
    ] * 2


@pytest.mark.parametrize(
    ("calls", "ids", "says"),
    [
        ((CALLS[0], ToolCall("git", "x", {"s3cr3t": float("nan")})), None, "calls[1]: arguments"),
        (CALLS, ["only-one"], "request_ids"),
        (CALLS, ["1", "2", "3"], "request_ids"),
    ],
)
def test_what_cannot_be_sent_is_not_sent(
    ask: Any, target: Any, scripted: Any, calls: Any, ids: Any, says: Any
) -> None:
    found = ask("decide_batch", target, calls, request_ids=ids)
    assert [(d.allowed, d.code) for d in found] == [(False, "client.request")] * 2
    assert says in found[0].reasons[0].message
    assert "s3cr3t" not in repr(found)
    assert scripted.seen == []


def test_no_calls_have_no_answers(ask: Any, target: Any, scripted: Any) -> None:
    scripted.script = [(grpc.StatusCode.INVALID_ARGUMENT, "requests: is empty", "request.malformed")]
    assert ask("decide_batch", target, ()) == ()
