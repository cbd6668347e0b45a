"""Whatever a handler does, a caller gets one status with a code, and no text of ours."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import grpc
import pytest

from pdp.core.check import NS
from pdp.core.errors import EngineFault, Unavailable
from pdp.v1 import decision_pb2
from pdp.v1 import types_pb2 as t

SECRET = "s3cr3t-value"
REQUEST = decision_pb2.DecideRequest(
    request_id="r", method="tools/call", target=t.Target(tool=t.ToolTarget(server="git", name="x"))
)
WAIT = decision_pb2.WaitDecisionRequest(resume_token="t", max_wait={"seconds": 50})


class OddError(BaseException):
    pass


@pytest.fixture
async def asked(serve: Any, connect: Any, services: Any, as_caller: Any) -> Any:
    """Asks a server whose Decide is the given function."""

    async def ask(decide: Any, within: float | None = None, **options: Any) -> Any:
        server = await serve(with_services=replace(services, decide=decide), **options)
        stub = connect(server.addresses[0]).decision
        # mostly no deadline, on purpose: a handler that hangs must not hang its client
        return stub.Decide(REQUEST, metadata=as_caller("gateway"), timeout=within)

    return ask


async def outcome(call: Any) -> Any:
    with pytest.raises(grpc.RpcError) as error:
        await asyncio.wait_for(call, 60)
    found = error.value
    return found.code(), dict(found.trailing_metadata()).get("pdp-code"), found.details()


def raising(error: Any) -> Any:
    async def decide(_ask: Any, _caller: Any) -> None:
        raise error

    return decide


@pytest.mark.parametrize(
    "error",
    [
        ValueError(SECRET),
        TimeoutError(SECRET),
        asyncio.CancelledError(SECRET),
        ExceptionGroup(SECRET, [ValueError(SECRET)]),
        OddError(SECRET),
        SystemExit(SECRET),
        KeyboardInterrupt(SECRET),
        StopAsyncIteration(SECRET),
        EngineFault("policy.timeout", SECRET, detail=SECRET),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_bug_is_internal_with_an_id_and_nothing_else(asked: Any, caplog: Any, error: Any) -> None:
    with caplog.at_level(logging.INFO, "pdp.grpc"):
        status, code, details = await outcome(await asked(raising(error)))
    assert (status, code) == (grpc.StatusCode.INTERNAL, "service.internal")
    assert SECRET not in details
    (record,) = [r for r in caplog.records if r.name == "pdp.grpc"]
    assert record.event["id"] in details
    assert record.event["method"] == "/pdp.v1.DecisionService/Decide"
    assert any("test_interceptors.py" in frame for frame in record.event["trace"])
    if not isinstance(error, EngineFault):  # a fault's detail is for the log
        assert SECRET not in record.getMessage()


async def test_a_fault_says_its_code_and_its_detail_stays(asked: Any, caplog: Any) -> None:
    with caplog.at_level(logging.INFO, "pdp.grpc"):
        fault = Unavailable("record.unavailable", "The record is away.", detail=SECRET)
        found = await outcome(await asked(raising(fault)))
    assert found == (grpc.StatusCode.UNAVAILABLE, "record.unavailable", "The record is away.")
    (record,) = [r for r in caplog.records if r.name == "pdp.grpc"]
    assert (record.event["detail"], record.levelno) == (SECRET, logging.WARNING)


async def test_a_handler_that_hangs_is_given_up(asked: Any) -> None:
    async def hang(_ask: Any, _caller: Any) -> None:
        await asyncio.Event().wait()

    status, code, _ = await outcome(await asked(hang, max_call_seconds=1))
    assert (status, code) == (grpc.StatusCode.DEADLINE_EXCEEDED, "service.timeout")


async def test_a_deadline_that_is_nearer_ends_the_handler_too(asked: Any) -> None:
    ended = asyncio.Event()

    async def hang(_ask: Any, _caller: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    status, _, _ = await outcome(await asked(hang, within=2, max_call_seconds=60))
    assert status == grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(ended.wait(), 60)


async def test_a_caller_that_leaves_cancels_its_call_quietly(asked: Any, caplog: Any) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def hang(_ask: Any, _caller: Any) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    call = await asked(hang)
    await begun.wait()
    call.cancel()
    await asyncio.wait_for(ended.wait(), 60)
    assert not [r for r in caplog.records if r.name == "pdp.grpc"]


@pytest.mark.parametrize(
    "path", ["DecisionService/Decide", "ApprovalService/WatchApprovals"], ids=["unary", "stream"]
)
async def test_bytes_that_are_no_message(pdp: Any, as_caller: Any, path: Any) -> None:
    name = f"/pdp.v1.{path}"
    if path.endswith("Decide"):
        call = pdp.channel.unary_unary(name)(b"\xff\xff", metadata=as_caller("all"))
        status, code, details = await outcome(call)
    else:
        call = pdp.channel.unary_stream(name)(b"\xff\xff", metadata=as_caller("all"))
        status, code, details = await outcome(anext(aiter(call)))
    assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "request.malformed")
    assert details.startswith("request: ")


@pytest.mark.parametrize("path", ["DecisionService/Decide", "DecisionService/InspectResult"], ids=["unary", "stream"])
async def test_a_field_that_is_not_known_is_refused(pdp: Any, as_caller: Any, path: str) -> None:
    """A newer caller's restriction does not vanish: at the top, and in a message within."""
    later = b"\xa2\x7d\x01x"  # field 2004, a text
    within = REQUEST.SerializeToString() + b"\x22" + bytes([len(later)]) + later  # `target` again, which is merged
    for raw in (REQUEST.SerializeToString() + later, within) if path.endswith("Decide") else (later,):
        if path.endswith("Decide"):
            call: Any = pdp.channel.unary_unary(f"/pdp.v1.{path}")(raw, metadata=as_caller("all"))
        else:
            call = pdp.channel.stream_unary(f"/pdp.v1.{path}")(iter([raw]), metadata=as_caller("all"))
        status, code, details = await outcome(call)
        assert (status, code) == (grpc.StatusCode.INVALID_ARGUMENT, "request.malformed")
        assert "does not know" in details


async def test_an_unknown_method_is_unimplemented(pdp: Any) -> None:
    with pytest.raises(grpc.RpcError) as error:
        await pdp.channel.unary_unary("/pdp.v1.DecisionService/Nope")(b"")
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED


# gRPC sends a deadline in steps of 10 ms, rounded up: nine seconds arrive as up to 9.01
@pytest.mark.parametrize(("within", "most"), [(None, 9.0), (9.0, 9.01)])
async def test_nobody_is_held_until_the_call_is_given_up(
    serve: Any, connect: Any, services: Any, as_caller: Any, within: Any, most: Any
) -> None:
    held: list[float] = []

    async def decide(ask: Any, _caller: Any) -> None:
        held.append((ask.until_ns - 1) / NS)
        raise Unavailable("a.b", "Enough.")

    async def waiting(_token: Any, _credential: Any, seconds: float, _caller: Any) -> None:
        held.append(seconds)
        raise Unavailable("a.b", "Enough.")

    server = await serve(with_services=replace(services, decide=decide, waiting=waiting), max_call_seconds=10)
    stub = connect(server.addresses[0]).decision
    with pytest.raises(grpc.RpcError):
        await stub.Decide(REQUEST, metadata=as_caller("gateway"), timeout=within)
    with pytest.raises(grpc.RpcError):
        await stub.WaitDecision(WAIT, metadata=as_caller("gateway"), timeout=within)
    assert len(held) == 2
    assert all(0 < seconds <= most for seconds in held), held
