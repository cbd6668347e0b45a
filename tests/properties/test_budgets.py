"""Budgets allow what a naive model does, which keeps every call and adds them up by the calendar each time."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bank import budget, call, plan, report, stage
from support.world import DecideAnswer, World, answered, running

from devtools.sandbox import ALICE, BOB
from pdp.core.check import NS
from pdp.v1 import decision_pb2, types_pb2
from pdp.wire.grpc.codec import batch as codec

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEOPLE = (ALICE, BOB)
LIMITS = {"hour": 4, "day": 130, "week": 9, "month": 600}  # the sums in tenths
PER = {"hour": ("subject", "agent"), "day": ("subject",), "week": ("agent",), "month": ()}
SUMS = {"argument": "/n", "decimals": 1}
BUDGETS = [
    budget("hour", "calls", LIMITS["hour"], *PER["hour"], on="meter", window="hour"),
    budget("day", "argument", LIMITS["day"], *PER["day"], on="meter", window="day", **SUMS),
    budget("week", "calls", LIMITS["week"], *PER["week"], on="meter", window="week"),
    budget("month", "argument", LIMITS["month"], *PER["month"], on="meter", window="month", **SUMS),
]
LABELS = {"hour": "%Y-%m-%d %H", "day": "%Y-%m-%d", "week": "%G %V", "month": "%Y-%m"}
MINUTE, DAY = 60, 24 * 3600
WAITS = (0, 0, 0, 0, MINUTE, 59 * MINUTE, 9 * 60 * MINUTE, DAY, 8 * DAY)
AMOUNTS = st.lists(st.sampled_from([0, 0.1, 1, 2.5, 3.3, 7, 13]), min_size=1, max_size=3)
STEPS = st.one_of(
    st.tuples(st.just("spend"), st.sampled_from(WAITS), st.integers(0, 1), st.integers(0, 1), AMOUNTS),
    st.tuples(st.just("report"), st.sampled_from(["done", "failed", "unknown"]), st.integers(0, 9)),
)


@dataclass
class Model:
    """Every allowed call: when, by whom, what it took, and what was reported of it."""

    calls: list[dict[str, Any]] = field(default_factory=list)

    def figures(self, window: str, whose: dict[str, Any], at: datetime) -> tuple[int, int]:
        """Used and in flight."""
        label = LABELS[window]
        same = [
            each
            for each in self.calls
            if each["at"].strftime(label) == at.strftime(label)
            and all(each["whose"][name] == whose[name] for name in PER[window])
        ]
        sums = [
            sum(self.amount(window, each["n"]) for each in same if each["outcome"] in outcomes)
            for outcomes in (("done",), ("", "unknown"))
        ]
        return sums[0], sums[1]

    @staticmethod
    def amount(window: str, n: Fraction) -> int:
        return 1 if window in ("hour", "week") else int(n * 10)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with running(tmp_path_factory.mktemp("p"), plan(*BUDGETS), stage()) as found:
        yield found


async def batch(world: World, asked: list[Any]) -> list[DecideAnswer]:
    request = decision_pb2.DecideBatchRequest(requests=asked)
    async with world._admitted("gateway", "DecideBatch") as who:
        found = codec.response(await world.process.services.batch(codec.asks(request), who))
    return [each.response for each in found.items]


@settings(max_examples=40)
@given(steps=st.lists(STEPS, min_size=4, max_size=16))
async def test_budgets_allow_what_the_model_does(world: World, steps: list[Any]) -> None:
    model = Model()
    await let_pass(world, 32 * DAY)  # in windows that no other example has had
    for kind, *rest in steps:
        if kind == "report":
            await settle(world, model, *rest)
        else:
            await spend(world, model, *rest)


async def let_pass(world: World, seconds: int) -> None:
    """Let time pass, with a registry that is signed again before it expires."""
    while seconds:
        step = min(seconds, 10 * DAY)
        world.stage.clock.advance(step)
        seconds -= step
        if step > DAY:
            world.sandbox.sign(world.now_ns, renew=True)
            await world.reload()


async def spend(world: World, model: Model, wait: int, who: int, agent: int, amounts: list[float]) -> None:
    """One call, or several of a session in a batch, which meet each other."""
    await let_pass(world, wait)
    at = datetime.fromtimestamp(world.now_ns // NS, UTC)
    asked = [
        call(world, None, PEOPLE[who], agent=f"agent-{agent}", name="meter", arguments={"n": n}) for n in amounts
    ]
    for each in asked:
        each.session.id = asked[0].request_id
    answers = [await answered(world, asked[0])] if len(asked) == 1 else await batch(world, asked)
    for n, answer in zip(amounts, answers, strict=True):
        whose, exact = {"subject": who, "agent": agent}, Fraction(str(n))
        told = json.loads(world.value(answer.decision_id, "input").data)["budgets"]["items"]
        fits = True
        for each in told:
            used, in_flight = model.figures(each["name"], whose, at)
            amount = Model.amount(each["name"], exact)
            assert (each["used"], each["in_flight"], each["amount"]) == (used, in_flight, amount)
            fits = fits and used + in_flight + amount <= LIMITS[each["name"]]
        assert {each["name"] for each in told} == set(LIMITS)
        assert (answer.effect == types_pb2.EFFECT_ALLOW) == fits
        if fits:
            model.calls.append({"at": at, "whose": whose, "n": exact, "outcome": "", "answer": answer})


async def settle(world: World, model: Model, outcome: str, place: int) -> None:
    """What became of some call whose outcome is not known yet."""
    waiting = [each for each in model.calls if each["outcome"] in ("", "unknown")]
    if waiting:
        chosen = waiting[place % len(waiting)]
        await report(world, chosen["answer"], outcome)
        chosen["outcome"] = outcome
