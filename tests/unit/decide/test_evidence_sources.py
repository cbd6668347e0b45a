"""Sources of evidence that fail or talk nonsense deny the call; they never settle anything."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from support.world import World, running

from devtools.sandbox import ALICE
from pdp.core.check import NS
from pdp.core.errors import Unavailable
from pdp.core.outcome.evidence import answer
from pdp.v1 import types_pb2

ARGUMENTS = {"repo_path": "/r"}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as found:
        yield found


def away(*_: Any) -> NoReturn:
    raise Unavailable("approvals.unavailable", "The approvals cannot be read now; ask again.")


async def codes(world: World) -> tuple[int, list[str]]:
    found = await world.decide(world.ask(ALICE, "git_reset", ARGUMENTS))
    return found.effect, [reason.code for reason in found.reasons]


async def test_a_store_that_is_away_denies(world: World) -> None:
    world.stage.evidence.known_with = away
    assert await codes(world) == (types_pb2.EFFECT_DENY, ["approvals.unavailable"])
    world.stage.evidence.reset()
    world.stage.evidence.gather_with = away
    assert await codes(world) == (types_pb2.EFFECT_DENY, ["approvals.unavailable"])


async def test_a_call_that_policy_denies_keeps_its_own_reasons(world: World) -> None:
    world.stage.evidence.known_with = away
    found = await world.decide(world.ask(ALICE, "git_log", {**ARGUMENTS, "max_count": 5000}))
    assert [reason.code for reason in found.reasons] == ["acme.log.max_count"]


async def test_answers_for_another_call_settle_nothing_and_the_asking_ends(world: World) -> None:
    def insist(_call: str, opened: tuple[Mapping[str, Any], ...], at: int) -> tuple[Any, ...]:
        return tuple(answer(requirement, "another call", "met", at + NS) for requirement in opened)

    world.stage.evidence.gather_with = insist
    effect, _ = await codes(world)
    assert effect == types_pb2.EFFECT_PENDING
    assert len(world.stage.evidence.opened) == 1  # the same again would answer nothing either


async def test_one_malformed_answer_denies_beside_a_sound_one(world: World) -> None:
    def both(call: str, opened: tuple[Mapping[str, Any], ...], at: int) -> tuple[Any, ...]:
        sound = answer(opened[0], call, "met", at + NS)
        return (sound, {**sound, "state": "granted"})

    world.stage.evidence.gather_with = both
    assert await codes(world) == (types_pb2.EFFECT_DENY, ["evidence.malformed"])
