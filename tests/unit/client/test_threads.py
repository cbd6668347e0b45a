"""The clients for threads are those for asyncio, run without a loop."""

from __future__ import annotations

import asyncio
import inspect

import pytest
from support.for_each import for_each

from pdp.client import ApprovalClient, AsyncApprovalClient, AsyncClient, Client, Filter, ToolCall


@for_each(("threads", "loop"), [(Client, AsyncClient), (ApprovalClient, AsyncApprovalClient)])
def test_nothing_asynchronous_is_left_for_threads(threads: type, loop: type) -> None:
    def functions(kind: type) -> dict[str, object]:
        return {n: f for n, f in vars(kind).items() if inspect.isfunction(f) and not n.startswith("_")}

    assert functions(threads).keys() == functions(loop).keys()
    left = [f for f in functions(threads).values() if inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f)]
    assert left == []


def test_a_coroutine_function_gives_no_token_to_threads() -> None:
    async def slow() -> str:
        await asyncio.sleep(0)
        return "token"

    with Client("unix:/nowhere/pdp.sock", token=slow) as client:  # type: ignore[arg-type]
        decision = client.decide(ToolCall("git", "git_status"))
    assert not decision.allowed
    assert decision.code == "client.fault"
    with (
        ApprovalClient("unix:/nowhere/pdp.sock", slow) as people,  # type: ignore[arg-type]
        pytest.raises(TypeError, match="token"),
    ):
        people.list_approvals(Filter())
