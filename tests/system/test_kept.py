"""Kept results in a whole PDP: answers, records and explanations say the same with a hit, and operators see it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from support.environment import SeededEntropy
from support.world import Plan, World, answered, running

from devtools.sandbox import ALICE, BOB, SandboxPerson
from pdp.core.call.request import Role
from pdp.operate.admin import ServiceStatus
from pdp.policy.kept import KeptAnswers, KeptEngine
from pdp.v1 import explain_pb2, types_pb2
from pdp.wire.grpc.codec import explain as codec

OFF = Plan(settings={"policy": {"kept_mb": 0}})
Call = tuple[SandboxPerson, str, dict[str, Any]]
# an allow, a denial of a pack, one of the baseline, something that waits for one person, and for another
CALLS: tuple[Call, ...] = (
    (ALICE, "git_log", {"max_count": 5}),
    (ALICE, "git_log", {"max_count": 500}),
    (BOB, "git_commit", {}),
    (ALICE, "git_commit", {}),
    (ALICE, "git_add", {}),
)
# of a record, what is of this call alone
OWN = frozenset({"id", "log", "boot", "time", "time_ns", "monotonic_ns", "request", "session", "arguments", "input"})
OWN |= {"call_digest", "subject", "labels"}  # labels: only those that are new


async def told(world: World, call: Call, text: str) -> tuple[Any, ...]:
    """What the caller is told of a call, the record, and what is explained from it. `text` is what nothing reads."""
    who, tool, arguments = call
    known = world.definition("git", tool)["inputSchema"]["properties"]
    more = {name: text for name, schema in known.items() if schema.get("type") == "string"}
    answer = await answered(world, world.ask(who, tool, {**more, **arguments}, session=world.fresh("s")))
    record = world.record(answer.decision_id)
    async with world._admitted("explainer", "Explain", Role.EXPLAIN) as caller:
        asked = explain_pb2.ExplainRequest(decision_id=answer.decision_id)
        explained = codec.response(*await world.process.services.explain(codec.why(asked), caller))
    assert explained.reproduced
    assert explained.reasons == answer.reasons
    said = (answer.effect, list(map(str, answer.reasons)), list(map(str, answer.obligations)))
    wanted = [each.kind for each in answer.pending.requirements]
    return said, wanted, {k: v for k, v in record.items() if k not in OWN}, list(map(str, explained.rules))


async def status(world: World) -> ServiceStatus:
    return await world.process.admin.status()


async def test_answers_records_and_explanations_say_the_same_with_a_hit(tmp_path: Path) -> None:
    async with running(tmp_path / "on") as kept, running(tmp_path / "off", OFF) as plain:
        for call in CALLS:
            before = (await status(kept)).kept
            missed = await told(kept, call, "a")
            between = (await status(kept)).kept
            assert (between.hits, between.misses) == (before.hits, before.misses + 1)
            hit = await told(kept, call, "b")
            assert (await status(kept)).kept.hits == before.hits + 1
            assert missed == hit
            assert await told(plain, call, "b") == hit
        found = (await status(plain)).kept
        assert (found.on, found.hits, found.misses) == (False, 0, 0)


async def test_a_wrong_result_denies_alarms_and_turns_keeping_off(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as world:
        policy = world.process.state.policy
        assert policy is not None
        assert isinstance(policy.engine, KeptEngine)
        answers: KeptAnswers = policy.engine._answers
        answers._checked = 1
        denied = await told(world, CALLS[1], "a")
        for key in list(answers._answers):
            answers._answers[key] = answers._answers[key].replace(b'"deny"', b'"allow"')
        with caplog.at_level(logging.ERROR, "pdp.policy"):
            answer = await answered(world, world.ask(ALICE, "git_log", {"max_count": 500}))
        assert answer.effect == types_pb2.EFFECT_DENY
        assert [reason.code for reason in answer.reasons] == ["policy.kept"]
        assert [record.message.split(":")[0] for record in caplog.records] == ["policy.kept"]
        assert ((await status(world)).kept.on, (await status(world)).kept.differed) == (False, True)
        assert await told(world, CALLS[1], "b") == denied


def test_the_key_of_the_keys_is_drawn_at_each_start() -> None:
    assert KeptAnswers(1, SeededEntropy("a")).secret != KeptAnswers(1, SeededEntropy("b")).secret
