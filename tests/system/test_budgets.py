"""Budgets of a whole process: what an allow reserves, what its outcome gives back, and who reserves nothing."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.approvers import Approvers, waiting
from support.bank import budget, call, figures, pay, plan, report, stage
from support.world import WEDNESDAY_NS, DecideAnswer, World, answered, codes, create, running, serving

from devtools.sandbox import ALICE, BOB
from pdp.core.call.request import Role
from pdp.core.check import NS, WORST_COUNT
from pdp.core.errors import Conflict, Fault
from pdp.core.outcome import Effect
from pdp.core.rows.approvals import Account
from pdp.decide.explain import ExplainRequest
from pdp.identity.development import DEVELOPMENT_ISSUER
from pdp.proof.check import check
from pdp.v1 import types_pb2
from pdp.wire.grpc.codec import decisions

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING
DAY = 24 * 3600


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("b"), plan(), stage()) as found:
        yield found


@pytest.fixture(autouse=True)
def another_day(request: pytest.FixtureRequest) -> None:
    """Nothing of another test is used in this one's windows."""
    if "world" in request.fixturenames:
        request.getfixturevalue("world").stage.clock.advance(DAY)


async def test_all_agents_of_one_person_share_its_day_and_nobody_else(world: World) -> None:
    assert (await pay(world, 200, agent="one")).effect == ALLOW
    second = await pay(world, 99.99, agent="two")
    assert (second.effect, figures(world, second)) == (ALLOW, (0, 20000, 9999))
    beyond = await pay(world, 200.02, agent="three")
    assert (beyond.effect, codes(beyond)) == (DENY, ["budget.exceeded"])
    assert (await pay(world, 250, BOB)).effect == ALLOW
    world.stage.clock.advance(DAY)
    fresh = await pay(world, "300.00")
    assert (fresh.effect, figures(world, fresh)) == (ALLOW, (0, 0, 30000))


async def test_what_did_not_run_is_given_back_once_and_what_ran_is_used(world: World) -> None:
    ran, failed, unknown = [await pay(world, 100) for _ in range(3)]
    for answer, outcome in ((ran, "done"), (failed, "failed"), (unknown, "unknown")):
        await report(world, answer, outcome)
        await report(world, answer, outcome)
    assert figures(world, await pay(world, 1000)) == (10000, 10000, 100000)
    await report(world, unknown, "failed")
    with pytest.raises(Fault):
        await report(world, failed, "done")
    assert figures(world, await pay(world, 1000)) == (10000, 0, 100000)


async def test_an_outcome_after_its_window_changes_no_other(world: World) -> None:
    late = await pay(world, 100)
    world.stage.clock.advance(DAY)
    assert (await pay(world, 50)).effect == ALLOW
    await report(world, late, "failed")
    assert figures(world, await pay(world, 1)) == (0, 5000, 100)


async def test_what_is_no_exact_amount_is_denied_and_takes_nothing(world: World) -> None:
    for amount in (None, -1, 0.001, 12.505, "12,50", "1e3", "-1", "", True, 10**15):
        answer = await pay(world, amount)
        assert (answer.effect, codes(answer)) == (DENY, ["budget.unknown"]), amount
        assert figures(world, answer) == (WORST_COUNT,) * 3
    assert figures(world, await pay(world, 1)) == (0, 0, 100)


async def test_calls_at_once_never_pass_it(world: World) -> None:
    """Beyond 300 EUR the person is asked, which looks at the figures only; the limit holds in the commit."""
    answers = await asyncio.gather(*(pay(world, 30, agent=f"a{n % 4}") for n in range(40)))
    allowed = [each.effect for each in answers].count(ALLOW)
    assert 10 <= allowed <= 16
    assert {code for each in answers if each.effect == DENY for code in codes(each)} <= {"budget.exceeded"}
    assert figures(world, await pay(world, 1000)) == (0, 3000 * allowed, 100000)


async def test_a_pending_call_reserves_when_it_is_allowed(world: World) -> None:
    asked, other = call(world, 350), call(world, 400)
    for each in (asked, other):
        answer = await answered(world, each)
        assert answer.effect == PENDING
        await Approvers(world).vote(ALICE, *waiting(answer))
        each.resume_token = answer.pending.resume_token
        each.request_id += " again"
    assert figures(world, await pay(world, 1000))[:2] == (0, 0)
    allowed, denied = await answered(world, asked), await answered(world, other)
    assert (allowed.effect, bool(allowed.redemption_id)) == (ALLOW, True)
    assert (denied.effect, codes(denied)) == (DENY, ["budget.exceeded"])
    assert figures(world, denied) == (0, 35000, 40000)
    await report(world, allowed, "failed")
    other.request_id += " and again"
    assert (await answered(world, other)).effect == ALLOW  # its approval was not spent by the denial


async def test_a_repeat_reserves_nothing_more(world: World) -> None:
    asked = call(world, 100)
    first, again = await answered(world, asked), await answered(world, asked)
    assert first.decision_id == again.decision_id
    assert figures(world, await pay(world, 1)) == (0, 10000, 100)


async def batch(world: World, asked: Sequence[Any]) -> list[Effect]:
    async with world._admitted("gateway", "DecideBatch") as caller:
        found = await world.process.services.batch(list(map(decisions.ask, asked)), caller)
    return [each[0].effect for each in found if not isinstance(each, Fault)]


async def test_a_batch_meets_what_earlier_calls_of_its_session_take(world: World) -> None:
    asked = [call(world, 60, session="of-a-batch") for _ in range(9)]
    assert await batch(world, asked) == [Effect.ALLOW] * 5 + [Effect.PENDING] * 4


async def test_calls_of_a_batch_that_go_side_by_side_take_no_more_than_there_is(world: World) -> None:
    """Policy wants people from 300 on, which each of them may be below; beyond 500 nothing is allowed."""
    effects = Counter(await batch(world, [call(world, 60, agent=f"a{n}") for n in range(9)]))
    assert effects.total() == 9
    assert 5 <= effects[Effect.ALLOW] <= 8


async def test_suppositions_reserve_nothing(world: World) -> None:
    async with world._admitted("explainer", "Explain", Role.EXPLAIN) as caller:
        for _ in range(3):
            found = await world.process.services.explain(ExplainRequest(decisions.ask(call(world, 200))), caller)
            assert found[0].outcome.effect is Effect.ALLOW
    assert figures(world, await pay(world, 1)) == (0, 0, 100)


async def test_a_record_says_what_is_reserved_and_no_amount_of_an_argument(world: World) -> None:
    allowed, denied = await pay(world, 123.45), await pay(world, 1000)
    ends_ns = (WEDNESDAY_NS // (DAY * NS) + (world.now_ns - WEDNESDAY_NS) // (DAY * NS) + 1) * DAY * NS
    assert world.record(allowed.decision_id)["budgets"] == [
        {"name": "payments.day", "counts": "argument", "window": "day", "amount": None, "ends_ns": ends_ns}
    ]
    assert "budgets" not in world.record(denied.decision_id)
    for answer in (allowed, denied):
        assert check(world.record_bytes(answer.decision_id)) == []


async def test_what_is_read_is_no_older_than_what_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where every read were stale, the commit alone would hold the limit: nothing is allowed beyond it."""
    assert (await pay(world, 300)).effect == ALLOW
    monkeypatch.setattr("pdp.decide.budgets.standing", lambda *_: (0, 0))
    with pytest.raises(Conflict):
        async with world._admitted("gateway", "Decide") as caller:
            await world.process.services.decide(decisions.ask(call(world, 250)), caller)
    monkeypatch.undo()
    assert figures(world, await pay(world, 1000))[:2] == (0, 30000)


async def test_erasing_a_person_leaves_what_is_used(world: World) -> None:
    await report(world, await pay(world, 100), "done")
    async with world._admitted("operator", "ErasePerson", Role.OPERATE) as caller:
        await world.process.services.erasures.erase(caller, Account(DEVELOPMENT_ISSUER, ALICE.id), "a ticket")
    assert figures(world, await pay(world, 1)) == (10000, 0, 100)


async def test_counts_costs_bytes_and_whose_they_are(tmp_path: Path) -> None:
    budgets = (
        budget("per.agent", "calls", 2, "subject", "agent"),
        budget("per.tool", "cost", 20, "tool"),
        budget("all", "bytes", 1000, on="help"),
    )
    async with running(tmp_path, plan(*budgets), stage()) as world:
        for agent in ("one", "two"):
            first = await pay(world, name="look", agent=agent)
            assert figures(world, first, "per.agent") == (0, 0, 1)
            assert (await pay(world, name="look", agent=agent)).effect == ALLOW
            assert codes(await pay(world, name="look", agent=agent)) == ["budget.exceeded"]
        fifth = await pay(world, name="look", agent="one", who=BOB)
        assert (fifth.effect, figures(world, fifth, "per.tool")) == (ALLOW, (0, 16, 4))
        assert codes(await pay(world, name="look", agent="two", who=BOB)) == ["budget.exceeded"]
        amounts = {each["name"]: each["amount"] for each in world.record(fifth.decision_id)["budgets"]}
        assert amounts == {"per.agent": 1, "per.tool": 4}
        assert figures(world, await pay(world, name="help"), "all") == (0, 0, 2)
        assert figures(world, await pay(world, name="help", who=BOB), "all") == (0, 2, 2)


async def test_a_task_shares_with_its_children_and_a_session_has_its_own(tmp_path: Path) -> None:
    budgets = (budget("task", "calls", 3, "task"), budget("session", "calls", 2, "session"))

    async def look(world: World, agent: str, **session: str) -> DecideAnswer:
        asked = call(world, name="look", agent=agent)
        asked.session.CopyFrom(types_pb2.Session(**session))
        return await answered(world, asked)

    async with running(tmp_path, plan(*budgets), stage()) as world:
        mine = await look(world, "lead", id="mine")
        child = await look(world, "helper", id="child", parent=mine.session_handle)
        assert (child.effect, figures(world, child, "task")) == (ALLOW, (0, 1, 1))
        assert figures(world, child, "session") == (0, 0, 1)
        again = await look(world, "helper", id="child")  # whose parent it was is known by now
        assert figures(world, again, "task") == (0, 2, 1)
        assert codes(await look(world, "helper", id="child")) == ["budget.exceeded"]
        assert codes(await look(world, "lead", id="mine")) == ["budget.exceeded"]
        other = await look(world, "lead", id="other")
        assert (other.effect, figures(world, other, "task")) == (ALLOW, (0, 0, 1))
        nameless = await pay(world, name="look", agent="lead")
        assert (nameless.effect, codes(nameless)) == (DENY, ["budget.unknown"])
        assert figures(world, nameless, "task") == (WORST_COUNT,) * 3


async def test_an_observed_caller_reserves_what_it_would_be_allowed(tmp_path: Path) -> None:
    settings: Mapping[str, Any] = {"callers": {"gateway": {"observe": {"until": "2027-02-01T00:00:00Z"}}}}
    async with running(tmp_path, plan(identity=settings), stage()) as world:
        for amount, effect in ((100, ALLOW), (600, DENY), (300, PENDING)):
            assert (await pay(world, amount)).effect == effect
        assert figures(world, await pay(world, 1)) == (0, 10000, 100)


async def test_another_limit_counts_what_is_used_and_another_unit_begins_anew(tmp_path: Path) -> None:
    made = create(tmp_path / "w", plan(), WEDNESDAY_NS)
    async with serving(made, plan(), stage()) as world:
        assert (await pay(world, 200)).effect == ALLOW
        data = made.policy / "data" / "org.json"
        org = json.loads(data.read_text())
        org["budgets"][0]["limit"] = 15000
        data.write_text(json.dumps(org))
        await world.reload()
        assert codes(await pay(world, 1)) == ["budget.exceeded"]
        org["budgets"][0]["decimals"] = 3
        data.write_text(json.dumps(org))
        await world.reload()
        assert figures(world, await pay(world, 1)) == (0, 0, 1000)


async def test_what_is_over_goes_with_later_commits(tmp_path: Path) -> None:
    async with running(tmp_path, plan(), stage()) as world:
        rows = lambda: [  # noqa: E731
            world.process.store._reader.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]  # type: ignore[attr-defined]
            for table in ("budgets", "reservations")
        ]
        for _ in range(3):
            await pay(world, 1)
        assert rows() == [1, 3]
        world.stage.clock.advance(DAY + 2 * 3600)
        for _ in range(4):
            world.stage.clock.advance(6)
            await pay(world, 1)
        assert rows() == [1, 4]


async def test_budgets_that_cannot_be_meant_refuse_the_bundle(tmp_path: Path) -> None:
    made = create(tmp_path / "w", plan(), WEDNESDAY_NS)
    async with serving(made, plan(), stage()) as world:
        data = made.policy / "data" / "org.json"
        org = json.loads(data.read_text())
        digest = world.process.state.policy.digest
        for change in ({"argument": ""}, {"window": "year"}, {"limit": -1}, {"per": ["subject", "subject"]}):
            data.write_text(json.dumps({**org, "budgets": [{**org["budgets"][0], **change}]}))
            await world.reload()
            assert world.process.state.policy.digest == digest
