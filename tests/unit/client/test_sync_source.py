"""The clients for threads and for asyncio are one source."""

from __future__ import annotations

import inspect

import pytest

from devtools import sync_client
from pdp.client import ApprovalClient, AsyncApprovalClient, AsyncClient, Client


def test_the_module_for_threads_is_what_the_other_makes() -> None:
    source = (sync_client.CLIENT / "aio.py").read_text(encoding="utf-8")
    assert sync_client.generate(source) == (sync_client.CLIENT / "sync.py").read_text(encoding="utf-8")


def test_a_changed_source_makes_another_module() -> None:
    source = '"""Doc."""\n\nasync def async_x(a: AsyncY) -> None:\n    """Await async_x."""\n    await a.b  # await\n'
    expected = sync_client.HEADER + '\n\n\ndef x(a: Y) -> None:\n    """Await async_x."""\n    a.b  # await\n'
    assert sync_client.generate(source) == expected


@pytest.mark.parametrize(("threads", "loop"), [(Client, AsyncClient), (ApprovalClient, AsyncApprovalClient)])
def test_nothing_asynchronous_is_left_for_threads(threads: type, loop: type) -> None:
    def functions(kind: type) -> dict[str, object]:
        return {n: f for n, f in vars(kind).items() if inspect.isfunction(f) and not n.startswith("__")}

    assert functions(threads).keys() == functions(loop).keys()
    left = [f for f in functions(threads).values() if inspect.iscoroutinefunction(f) or inspect.isasyncgenfunction(f)]
    assert left == []
