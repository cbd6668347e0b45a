"""Against fatigue, in a whole process: what one group is asked has an end, and a canary comes and goes by the
command line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner, Result
from support.approvers import Approvers, waiting
from support.environment import Stage, StillClock
from support.watching import Watch
from support.world import GRPC, WEDNESDAY_NS, Plan, World, create, running, serving

from pdp.authoring.installation import DESK
from pdp.authoring.sandbox import ALICE, CAROL, ERIN, SandboxPerson
from pdp.cli.main import cli
from pdp.core.approvals.states import State
from pdp.v1 import decision_pb2, types_pb2

OBLIGATIONS = ("log", "notify", "redact_result")


async def reset(world: World, path: str, who: SandboxPerson = ALICE) -> decision_pb2.DecideResponse:
    ask = world.ask(who, "git_reset", {"repo_path": path}, obligations=OBLIGATIONS)
    answer = await world.decide(ask, way=GRPC)
    assert isinstance(answer, decision_pb2.DecideResponse)
    return answer


async def test_beyond_what_one_group_can_read_calls_are_denied_and_nothing_is_dropped(tmp_path: Path) -> None:
    plan = Plan(settings={"approvals": {"open_per_group": 2}})
    async with running(tmp_path, plan, Stage(StillClock(WEDNESDAY_NS), approvals=True)) as world:
        first, second = [waiting(await reset(world, path))[0] for path in ("/a", "/b")]
        full = await reset(world, "/c")
        assert full.effect == types_pb2.EFFECT_DENY
        assert [reason.code for reason in full.reasons] == ["approval.too_many_for_group"]
        assert waiting(await reset(world, "/a")) == [first]  # attaches
        await Approvers(world).vote(CAROL, second, "deny")
        assert waiting(await reset(world, "/c"))


async def test_an_hour_of_an_approver_has_an_end_and_nobody_is_asked_twice_for_the_same(tmp_path: Path) -> None:
    plan, stage = (
        Plan(settings={"approvals": {"hourly_per_approver": 2}}),
        Stage(StillClock(WEDNESDAY_NS), approvals=True),
    )
    async with running(tmp_path, plan, stage) as world:
        asked = await asyncio.gather(*(reset(world, "/a") for _ in range(8)))  # at once, under ids of their own
        first = {waiting(answer)[0] for answer in asked}
        assert len(first) == 1
        (second,) = waiting(await reset(world, "/b"))
        await Approvers(world).vote(CAROL, second, "deny")  # an answer makes no room
        full = await reset(world, "/c")
        assert [reason.code for reason in full.reasons] == ["approval.busy"]
        assert "Ask again in 60 minutes" in full.reasons[0].message
        assert set(waiting(await reset(world, "/a"))) == first  # joins: nobody is asked once more
        stage.clock.advance(3600)
        assert waiting(await reset(world, "/c"))


async def test_an_agent_asks_for_one_subject_as_often_as_it_may(tmp_path: Path) -> None:
    plan = Plan(settings={"approvals": {"hourly_per_requester": 2}})
    async with running(tmp_path, plan, Stage(StillClock(WEDNESDAY_NS), approvals=True)) as world:
        for path in ("/a", "/b"):
            assert waiting(await reset(world, path))
        full = await reset(world, "/c")
        assert full.effect == types_pb2.EFFECT_DENY
        assert [reason.code for reason in full.reasons] == ["approval.asked_often"]


async def test_an_operator_opens_a_canary_and_the_group_answers_it(tmp_path: Path) -> None:
    watch, stage, plan = Watch(), Stage(StillClock(WEDNESDAY_NS), approvals=True), Plan()
    watched = replace(stage.environment(), telemetry=watch.telemetry)
    made = create(tmp_path / "w", plan, stage.clock.wall())
    async with serving(made, plan, stage, environment=watched) as world:
        (tmp_path / "desk.token").write_text(world.metadata("desk")[0][1].removeprefix("Bearer ") + "\n")
        (tmp_path / "evil.json").write_text('{"repo_path": "/everything"}')

        async def run(who: SandboxPerson, *words: str) -> Result:
            (tmp_path / "own.token").write_text(world.sandbox.token(who, world.now_ns, aud=DESK, client_id="desk"))
            reach = ("--target", world.sandbox.socket, "--token-file", str(tmp_path / "own.token"))
            every = ["approvals", *words, *reach, "--caller-token-file", str(tmp_path / "desk.token")]
            return await asyncio.to_thread(CliRunner().invoke, cli, every)

        (like,) = waiting(await reset(world, "/src"))
        refused = await run(CAROL, "canary", like, "--arguments", str(tmp_path / "evil.json"))
        assert (refused.exit_code, "person.not_operator" in refused.output) == (1, True)
        done = await run(ERIN, "canary", like, "--arguments", str(tmp_path / "evil.json"))
        assert done.exit_code == 0, done.output
        canary = done.output.split()[0]
        listed = json.loads((await run(CAROL, "list", "--json")).output)["approvals"]
        assert {each["approval_id"] for each in listed} == {like, canary}
        await Approvers(world).vote(CAROL, canary)
        row = world.process.store.approval("acme", canary)
        assert row is not None
        assert (row.state, row.canary) == (State.APPROVED, True)
        # a real call with the very same arguments has nothing of it
        (own,) = waiting(await reset(world, "/everything"))
        assert own not in (canary, like)
        assert watch.total("pdp.approval.canaries", pdp__outcome="missed") == 1
        assert watch.total("pdp.approval.votes", pdp__choice="approve") == 1
        world.process.levels.tell(world.now_ns)
        assert watch.points("pdp.approval.open") == [({"pdp.tenant": "acme"}, 3)]
