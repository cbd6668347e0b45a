"""More calls at once than a connection bears: they take turns, and none is lost to the transport."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc.aio
import pytest
from support.for_each import for_each
from typing_extensions import override

from pdp.client import AsyncClient, Client, ToolCall
from pdp.v1 import decision_pb2, decision_pb2_grpc

STREAMS = 256  # `server.max_streams`
CALL = ToolCall("git", "git_status")


class Crowd(decision_pb2_grpc.DecisionServiceServicer):
    """Answers when told; counts who is in."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.go = asyncio.Event()
        self.entered = asyncio.Semaphore(0)
        self.at_once = self.most = 0

    @override
    async def Decide(self, _request: Any, _context: Any) -> Any:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        self.entered.release()
        await self.go.wait()
        self.at_once -= 1
        return self.answer

    @override
    async def WaitDecision(self, _request: Any, _context: Any) -> Any:
        self.entered.release()
        await self.go.wait()
        return decision_pb2.WaitDecisionResponse(outcome=decision_pb2.WAIT_OUTCOME_ASK_AGAIN)

    async def count(self, wanted: int) -> None:
        for _ in range(wanted):
            await self.entered.acquire()


@pytest.fixture
async def crowd(scripted: Any) -> AsyncIterator[Any]:
    server = grpc.aio.server(options=[("grpc.max_concurrent_streams", STREAMS)])
    found = Crowd(scripted.script[0])
    decision_pb2_grpc.add_DecisionServiceServicer_to_server(found, server)
    found.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    yield found
    found.go.set()
    await server.stop(0)


async def test_six_hundred_at_once_are_all_answered(crowd: Any) -> None:
    async with AsyncClient(crowd.target, timeout=60) as pdp:
        asked = [asyncio.create_task(pdp.decide(CALL)) for _ in range(600)]
        await crowd.count(240)
        assert crowd.entered.locked()  # the others wait for their turn
        crowd.go.set()
        assert Counter([(await each).code for each in asked]) == {"": 600}
    assert crowd.most <= STREAMS


async def test_two_clients_do_not_add_up_on_one_connection(crowd: Any) -> None:
    async with AsyncClient(crowd.target, timeout=60) as one, AsyncClient(crowd.target, timeout=60) as other:
        asked = [asyncio.create_task(pdp.decide(CALL)) for pdp in (one, other) for _ in range(240)]
        await crowd.count(480)
        crowd.go.set()
        assert Counter([(await each).code for each in asked]) == {"": 480}


async def test_waits_take_no_decisions_place(crowd: Any) -> None:
    async with AsyncClient(crowd.target, timeout=60, max_calls=2) as pdp:
        waits = [asyncio.create_task(pdp.wait("token", max_wait=50)) for _ in range(2)]
        await crowd.count(2)
        decision = asyncio.create_task(pdp.decide(CALL))
        await crowd.count(1)
        crowd.go.set()
        assert (await decision).allowed
        assert all([(await each).again for each in waits])


async def test_one_that_waits_in_vain_is_denied(crowd: Any) -> None:
    async with AsyncClient(crowd.target, timeout=60, max_calls=1) as pdp:
        first = asyncio.create_task(pdp.decide(CALL))
        await crowd.count(1)
        second = await pdp.decide(CALL, timeout=0.05)
        assert (second.allowed, second.code) == (False, "client.overloaded")
        cancelled = asyncio.create_task(pdp.decide(CALL))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        crowd.go.set()
        assert (await first).allowed
        assert [(await pdp.decide(CALL)).allowed for _ in range(3)] == [True] * 3  # every place came free again


async def test_threads_take_turns_too(crowd: Any) -> None:
    def ask(pdp: Client, timeout: float) -> str:
        return pdp.decide(CALL, timeout=timeout).code

    loop = asyncio.get_running_loop()
    with Client(crowd.target, max_calls=2) as pdp, ThreadPoolExecutor(8) as threads:
        asked = [loop.run_in_executor(threads, ask, pdp, 60) for _ in range(6)]
        await crowd.count(2)
        assert await loop.run_in_executor(threads, ask, pdp, 0.05) == "client.overloaded"
        crowd.go.set()
        assert await asyncio.gather(*asked) == [""] * 6
    assert crowd.most <= 2


@for_each("kind", [Client, AsyncClient])
async def test_the_bound_is_a_number_of_calls(kind: Any) -> None:
    with pytest.raises(ValueError, match="max_calls"):
        kind("127.0.0.1:1", max_calls=0)
