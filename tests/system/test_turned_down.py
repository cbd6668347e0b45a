"""Against approval bombing and shopping: who was refused, or took its requests back, waits longer each time, whatever
it changes in its arguments; those who are asked next are told, and policy knows the count."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.approvers import Approvers, waiting
from support.environment import SeededEntropy, Stage, StillClock
from support.world import WEDNESDAY_NS, DecideAnswer, Plan, World, answered, codes, create, running, serving

from devtools.sandbox import ALICE, BOB, CAROL, DAVE, SandboxPerson
from pdp.core.check import WORST_COUNT
from pdp.v1 import decision_pb2, decision_pb2_grpc, types_pb2

ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path, stage=Stage(StillClock(WEDNESDAY_NS), approvals=True)) as found:
        yield found


async def reset(
    world: World, path: str, who: SandboxPerson = ALICE, *, agent: str = "", session: str = ""
) -> DecideAnswer:
    asked = world.ask(who, "git_reset", {"repo_path": path}, session=session)
    asked.request_id = f"{world.stage.entropy.seed} {asked.request_id}"
    if agent:
        asked.credential.bearer = world.sandbox.token(who, world.now_ns, client_id=agent)
    return await answered(world, asked)


def counts(world: World, answer: DecideAnswer) -> tuple[int, int]:
    """What policy was told."""
    call = json.loads(world.value(answer.decision_id, "input").data)["call"]
    return call["people_refusals"], call["people_withdrawals"]


@pytest.mark.parametrize(("who", "choice"), [(CAROL, "deny"), (ALICE, "cancel")])
async def test_a_dot_more_each_time_asks_people_three_times_and_not_forty(
    world: World, who: SandboxPerson, choice: str
) -> None:
    approvers, asked = Approvers(world), 0
    for i in range(40):
        answer = await reset(world, "/srv" + "/." * i, session=f"s-{i}")
        if answer.effect == PENDING:
            asked += 1
            await approvers.vote(who, waiting(answer)[0], choice)
        else:
            assert codes(answer) == ["approval.backoff"]
            assert "ask again in 5 minutes" in answer.reasons[0].message
    assert asked == 3


async def test_a_day_of_asking_and_withdrawing_comes_to_a_dozen_requests(world: World) -> None:
    approvers, asked = Approvers(world), 0
    for i in range(24 * 60 // 5):
        answer = await reset(world, f"/{i}")
        if answer.effect == PENDING:
            asked += 1
            await approvers.vote(ALICE, waiting(answer)[0], "cancel")
        world.stage.clock.advance(300)
    assert 8 <= asked <= 14
    world.stage.clock.advance(24 * 3600)
    assert (await reset(world, "/next day")).effect == PENDING  # it is forgotten


async def test_what_is_asked_all_at_once_waits_like_what_is_asked_one_after_the_other(world: World) -> None:
    """Else each wait would end with as many requests as a subject may have open."""
    for i in range(3):
        await Approvers(world).vote(CAROL, waiting(await reset(world, f"/{i}"))[0], "deny")
    world.stage.clock.advance(300)
    found = await asyncio.gather(*(reset(world, f"/burst-{i}") for i in range(12)))
    assert sorted(answer.effect for answer in found) == [DENY] * 11 + [PENDING]
    assert {code for answer in found if answer.effect == DENY for code in codes(answer)} == {"approval.backoff"}
    (pending,) = (answer for answer in found if answer.effect == PENDING)
    one = found.index(pending)
    assert waiting(await reset(world, f"/burst-{one}")) == waiting(pending)
    stub = decision_pb2_grpc.DecisionServiceStub(world.channel)
    batch = [world.ask(ALICE, "git_reset", {"repo_path": f"/batch-{i}"}) for i in range(5)]

    async def together() -> list[int]:
        for n, asked in enumerate(batch):
            asked.request_id = world.fresh(f"batch-{n}")
        asked_for = decision_pb2.DecideBatchRequest(requests=batch)
        answers = await stub.DecideBatch(asked_for, metadata=world.metadata("gateway"))
        return sorted(item.response.effect for item in answers.items)

    assert await together() == [DENY] * 5
    await Approvers(world).vote(CAROL, waiting(pending)[0])
    assert (await reset(world, f"/burst-{one}")).effect == ALLOW
    assert await together() == [DENY, DENY, DENY, DENY, PENDING]


async def test_a_wait_survives_a_restart_and_ends(tmp_path: Path) -> None:
    plan = Plan()
    made = create(tmp_path / "w", plan, WEDNESDAY_NS)
    clock = StillClock(WEDNESDAY_NS)

    def stage(seed: str) -> Stage:
        return Stage(clock, entropy=SeededEntropy(seed), approvals=True)

    async with serving(made, plan, stage("one")) as world:
        for i in range(3):
            await Approvers(world).vote(CAROL, waiting(await reset(world, f"/{i}"))[0], "deny")
    async with serving(made, plan, stage("two")) as world:
        assert codes(await reset(world, "/3")) == ["approval.backoff"]
        clock.advance(299)
        assert codes(await reset(world, "/3")) == ["approval.backoff"]
        clock.advance(1)
        assert (await reset(world, "/3")).effect == PENDING


async def test_the_count_is_a_fact_of_like_calls_alone(world: World) -> None:
    approvers = Approvers(world)
    first = await reset(world, "/a")
    assert counts(world, first) == (0, 0)
    await approvers.vote(CAROL, waiting(first)[0], "deny")
    second = await reset(world, "/b")
    assert counts(world, second) == (1, 0)
    await approvers.vote(ALICE, waiting(second)[0], "cancel")
    third = await reset(world, "/c")
    assert counts(world, third) == (1, 1)
    await approvers.vote(CAROL, waiting(third)[0])
    assert (await reset(world, "/c")).effect == ALLOW
    await world.switch("tool", server="git", value="git_reset")
    await world.switch("tool", server="git", value="git_reset", engaged=False)
    assert counts(world, await reset(world, "/c")) == (1, 1)  # neither an allow nor a switch is a refusal
    assert counts(world, await reset(world, "/d", agent="another-agent")) == (0, 0)
    other = await answered(world, world.ask(ALICE, "git_status", {"repo_path": "/a"}))
    assert counts(world, other) == (0, 0)
    nobody = await answered(world, world.ask(None, "git_reset", {"repo_path": "/a"}))
    assert counts(world, nobody) == (WORST_COUNT, WORST_COUNT)  # whose calls it is among is not known


async def test_another_agent_and_another_subject_do_not_wait(world: World) -> None:
    for i in range(3):
        await Approvers(world).vote(CAROL, waiting(await reset(world, f"/{i}"))[0], "deny")
    assert codes(await reset(world, "/x")) == ["approval.backoff"]
    assert (await reset(world, "/x", agent="another-agent")).effect == PENDING
    assert "approval.backoff" not in codes(await reset(world, "/x", BOB))


async def test_what_is_open_is_attached_to_and_what_is_approved_is_used_all_the_same(world: World) -> None:
    approvers = Approvers(world)
    approved, open_ = [await reset(world, path) for path in ("/approved", "/open")]
    for i in range(3):
        await approvers.vote(CAROL, waiting(await reset(world, f"/{i}"))[0], "deny")
    assert codes(await reset(world, "/more")) == ["approval.backoff"]
    assert waiting(await reset(world, "/open")) == waiting(open_)
    await approvers.vote(CAROL, waiting(approved)[0])
    assert (await reset(world, "/approved")).effect == ALLOW


async def test_whoever_is_asked_next_is_told_how_often_by_whom_and_why(world: World) -> None:
    approvers = Approvers(world)
    for who, choice, path in ((CAROL, "deny", "/a"), (ALICE, "cancel", "/b")):
        await approvers.vote(who, waiting(await reset(world, path))[0], choice)
    wanted = waiting(await reset(world, "/c"))[0]
    found: Any = (await approvers.look(DAVE, wanted)).earlier
    assert (found.refusals, found.withdrawals) == (1, 1)
    assert (found.vote.account.id, found.vote.choice, found.vote.reason) == ("carol", "deny", "because")
    await approvers.vote(DAVE, wanted)
    await reset(world, "/c")
    assert (await approvers.look(DAVE, wanted)).earlier is None  # it is over, and says what came of itself
