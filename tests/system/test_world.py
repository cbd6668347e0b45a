"""The shared harness answers, both ways."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.world import GRPC, WAYS, Refused, running

from devtools.sandbox import ALICE, BOB
from pdp.v1 import types_pb2


@pytest.mark.parametrize("way", WAYS)
async def test_world_answers(tmp_path: Path, way: str) -> None:
    async with running(tmp_path) as world:
        answer = await world.decide(world.ask(ALICE, "git_status"), way=way)
        assert not isinstance(answer, Refused)
        assert answer.effect == types_pb2.EFFECT_ALLOW
        assert world.record(answer.decision_id)["effect"] == "allow"
        denied = await world.decide(world.ask(BOB, "git_add", {"files": []}), way=way)
        assert not isinstance(denied, Refused)
        assert {r.code for r in denied.reasons} == {"policy.not_granted", "scope.missing"}
        refused = await world.decide(world.ask(ALICE, "git_status"), caller="auditor", way=GRPC)
        assert isinstance(refused, Refused)
        assert refused.code == "caller.role"
