from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from support.queries import raw_query
from support.service_loop import pytest_asyncio_loop_factories  # noqa: F401 - a hook

from pdp.core.outcome.elements import EngineQuery
from pdp.core.outcome.policy import Bundle, Module
from pdp.policy.embedded.engine import EmbeddedEngine, EngineHost
from pdp.policy.embedded.options import EmbeddedOptions, PoolOptions

HEADER = "package pdp\n\nimport rego.v1\n\n"


@pytest.fixture
def rego() -> Callable[..., Bundle]:
    """A bundle of one module in `package pdp`, and any further modules by path."""

    def make(text: str, *, org: bytes = b"{}", **more: str) -> Bundle:
        modules = [Module("pdp/main.rego", HEADER + text, shipped=True)]
        modules += [Module(f"{name}.rego", body) for name, body in more.items()]
        return Bundle(tuple(modules), org, b"{}", b"{}", "test", ())

    return make


@pytest.fixture
def ask() -> Callable[..., EngineQuery]:
    """A question whose document is the given input, or the given bytes."""

    def make(document: bytes | None = None, *, phase: str = "call", **facts: object) -> EngineQuery:
        data = json.dumps(facts).encode() if document is None else document
        return raw_query(data, phase)

    return make


@pytest.fixture
async def load() -> AsyncIterator[Callable[..., Awaitable[EmbeddedEngine]]]:
    """Loads a bundle on a host of its own: `await load(bundle, workers=1, on_kill=..., **pool options)`."""
    hosts: list[EngineHost] = []

    async def make(
        bundle: Bundle,
        *,
        workers: int = 1,
        on_kill: Callable[[str], None] = lambda _: None,
        memory_bytes: int = 1 << 30,
        load_seconds: float = 60.0,
        **pool: float,
    ) -> EmbeddedEngine:
        # a busy test machine is no reason to fail; what loops costs a test its deadline
        pool = {"patience_ms": 20_000, "deadline_ms": 2000, **pool}
        options = EmbeddedOptions(
            workers=workers, memory_bytes=memory_bytes, load_seconds=load_seconds, pool=PoolOptions(**pool)
        )
        host = EngineHost(options, on_kill=on_kill)
        hosts.append(host)
        return await host.load(bundle)

    yield make
    for host in hosts:
        await host.close()


@pytest.fixture
def children() -> Callable[[int], set[int]]:
    """Process ids of the live children of a process, from /proc."""

    def find(parent: int) -> set[int]:
        found = set()
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.add(int(stat.parent.name))
        return found

    return find
