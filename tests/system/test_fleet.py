"""Two whole processes on one PostgreSQL: asked here, approved there, allowed once between them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.people import Desk, waiting
from support.postgres import running
from support.surroundings import SeededEntropy, Stage, StillClock
from support.world import WEDNESDAY_NS, Plan, Refused, World, create, serving

from pdp import bootstrap
from pdp.core.errors import ConfigurationFault
from pdp.settings import load
from pdp.tooling.sandbox import ALICE, CAROL
from pdp.v1 import types_pb2

ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING


def still(seed: str) -> Stage:
    """Clocks that stand still; each process draws its own."""
    return Stage(StillClock(WEDNESDAY_NS), entropy=SeededEntropy(seed), people=True)


@pytest.fixture
def url() -> Iterator[str]:
    with running() as server, server.database("fleet") as found:
        yield found


@pytest.fixture
async def fleet(url: str, tmp_path: Path) -> AsyncIterator[list[World]]:
    plan = Plan()
    made = create(tmp_path / "1", plan, WEDNESDAY_NS)
    config = yaml.safe_load(made.config.read_text())
    config["store"] = {"url": url}
    config["service"] = {"index_key": "file:index.key"}
    config["approvals"] = {**config.get("approvals", {}), "resume_keys": ["file:resume.key"]}
    made.config.write_text(yaml.safe_dump(config))
    for name in ("index.key", "resume.key"):
        (made.folder / name).write_bytes(SeededEntropy(name).bytes(32).hex().encode())
        (made.folder / name).chmod(0o600)
    other = replace(made, folder=tmp_path / "2")
    shutil.copytree(made.folder, other.folder)
    async with AsyncExitStack() as left:
        stages = [still(seed) for seed in ("one", "two")]
        yield [
            await left.enter_async_context(serving(each, plan, stage))
            for each, stage in zip((made, other), stages, strict=True)
        ]


def reset(world: World, request: str, token: str = "") -> Any:
    asked = world.ask(ALICE, "git_reset", {"repo_path": "/srv"})
    asked.request_id, asked.resume_token = request, token
    return asked


async def test_a_call_is_approved_in_one_process_and_allowed_once_in_either(fleet: list[World]) -> None:
    here, there = fleet
    assert here.process.store.origin == there.process.store.origin
    pending = await here.decide(reset(here, "ask"))
    assert not isinstance(pending, Refused)
    assert pending.effect == PENDING
    await Desk(there).vote(CAROL, *waiting(pending))
    token = pending.pending.resume_token
    answers = await asyncio.gather(
        *(world.decide(reset(world, f"again-{n}", token)) for n, world in enumerate(fleet * 2))
    )
    effects = [answer.effect for answer in answers if not isinstance(answer, Refused)]
    assert sorted(effects) == sorted([ALLOW, DENY, DENY, DENY])
    assert {reason.code for answer in answers for reason in answer.reasons if answer.effect == DENY} == {  # type: ignore[union-attr] # none is refused
        "already_redeemed"
    }
    kinds = [here.record_bytes(answer.decision_id) for answer in answers]  # type: ignore[union-attr] # same
    assert len(set(kinds)) == 4  # each has its record, in the log that both read


async def test_a_switch_holds_in_the_other_process(fleet: list[World]) -> None:
    here, there = fleet
    assert (await there.decide(there.ask(ALICE, "git_status"))).effect == ALLOW  # type: ignore[union-attr] # an answer
    await here.switch("tool", server="git", value="git_status")
    while not there.process.store.switches():  # noqa: ASYNC110 the store tells nobody; the test's time limit ends it
        await asyncio.sleep(0.01)
    assert (await there.decide(there.ask(ALICE, "git_status"))).effect == DENY  # type: ignore[union-attr] # an answer


async def test_processes_of_one_store_share_their_index_key(url: str, tmp_path: Path) -> None:
    """None is made up for them, in development neither."""
    made = create(tmp_path / "1", Plan(), WEDNESDAY_NS)
    config = yaml.safe_load(made.config.read_text())
    made.config.write_text(yaml.safe_dump({**config, "store": {"url": url}}))
    with pytest.raises(ConfigurationFault) as e:
        await bootstrap.build(load(made.config, {}), still("one").surroundings())
    assert "service.index_key" in e.value.message
