"""A table of PostgreSQL that another session has locked: only the decisions that need it wait, and not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from support.environment import SeededEntropy, Stage, StillClock
from support.postgres import Postgres, running
from support.world import WEDNESDAY_NS, Plan, Refused, World, create, serving

from pdp.authoring.sandbox import ALICE
from pdp.v1 import admin_pb2, admin_pb2_grpc, types_pb2

DATABASE = "locked"
WAITING = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running() as found:
        yield found


@pytest.fixture
async def world(server: Postgres, tmp_path: Path) -> AsyncIterator[World]:
    made = create(tmp_path / "world", Plan(), WEDNESDAY_NS)
    with server.database(DATABASE) as url:
        config = yaml.safe_load(made.config.read_text())
        config["store"] = {"url": url}
        config["service"] = {**config.get("service", {}), "index_key": "file:index.key"}
        config["approvals"] = {**config.get("approvals", {}), "resume_keys": ["file:resume.key"]}
        for name in ("index.key", "resume.key"):
            (made.folder / name).write_bytes(SeededEntropy(name).bytes(32).hex().encode())
            (made.folder / name).chmod(0o600)
        made.config.write_text(yaml.safe_dump(config))
        stage = Stage(StillClock(WEDNESDAY_NS), entropy=SeededEntropy("locked"), approvals=True)
        async with serving(made, Plan(), stage) as found:
            yield found


def reset(world: World) -> Any:
    """A call for which grants are looked up."""
    return world.ask(ALICE, "git_reset", {"repo_path": "/srv"})


async def decide(world: World, asked: Any) -> object:
    answer = await world.decide(asked)
    return answer.code if isinstance(answer, Refused) else answer.effect


async def test_only_decisions_that_need_a_locked_table_wait_for_it(world: World, server: Postgres) -> None:
    """Everything else is answered while one waits; and that one is denied, in time."""
    assert await decide(world, world.ask(ALICE, "git_status")) == types_pb2.EFFECT_ALLOW
    assert await decide(world, reset(world)) == types_pb2.EFFECT_PENDING
    with server.locked("grants", DATABASE):
        held = asyncio.create_task(decide(world, reset(world)))
        while await asyncio.to_thread(server.sql, WAITING, database=DATABASE) != [[True]]:
            assert not held.done()
        assert await decide(world, world.ask(ALICE, "git_log")) == types_pb2.EFFECT_ALLOW
        health = await health_pb2_grpc.HealthStub(world.channel).Check(health_pb2.HealthCheckRequest())
        admin = admin_pb2_grpc.AdminServiceStub(world.channel)
        where = {"scope": admin_pb2.SWITCH_SCOPE_TOOL, "server": "git", "value": "git_status"}
        switch = admin_pb2.Switch(**where, engaged=True, reason="a test")
        request = admin_pb2.SetSwitchRequest(request_id="switch", switch=switch)
        await admin.SetSwitch(request, metadata=world.metadata("operator"))
        stopped = await decide(world, world.ask(ALICE, "git_status"))
        assert not held.done()
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        assert stopped == types_pb2.EFFECT_DENY
        assert await held == types_pb2.EFFECT_DENY  # what cannot be known allows nothing
    assert world.process.store.healthy()
