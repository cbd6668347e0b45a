"""What the release before left behind is used by this one: its requests, votes, grants, consents and tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support import before
from support.approvers import Approvers, waiting
from support.world import WEDNESDAY_NS, DecideAnswer, World, answered, codes

from pdp.core.approvals.states import State
from pdp.core.check import NS
from pdp.store.migrations import VERSION
from pdp.tools.authoring.sandbox import ALICE, DAVE
from pdp.v1 import types_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING
RELEASED = before.VECTORS / "store_b72bf29"  # 0.0.0 before issue 9, tables of revision 4
SAID: dict[str, Any] = json.loads(RELEASED.with_suffix(".json").read_text())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with before.after(tmp_path_factory.mktemp("released"), RELEASED.with_suffix(".sql")) as found:
        yield found


@pytest.fixture
def approvers(world: World) -> Approvers:
    return Approvers(world)


async def back(world: World, note: str, *, token: bool = True, call_id: str = "") -> DecideAnswer:
    """A call that the other release was asked about comes back, with the token that it gave."""
    known = SAID[note]
    return await answered(
        world, before.ask(world, known["tool"], note, known["token"] if token else "", call_id), "gateway"
    )


async def test_its_tables_are_brought_up_to_date_and_its_log_goes_on(world: World) -> None:
    store: Any = world.process.store
    with store._engine.connect() as db:
        assert db.exec_driver_sql("PRAGMA user_version").scalar_one() == VERSION
    assert store.size() > SAID["records"]
    kinds = [json.loads(store.record_at(i).record)["kind"] for i in range(SAID["records"])]
    assert kinds.count("decision") > len(SAID) - 1


async def test_what_waited_is_looked_at_voted_on_and_allowed_once(world: World, approvers: Approvers) -> None:
    wanted = SAID["waits"]["approval"]
    assert (await approvers.look(DAVE, wanted)).may_vote
    again = await back(world, "waits")
    assert (again.effect, waiting(again)) == (PENDING, [wanted])  # it attaches to what the other release opened
    await approvers.vote(DAVE, wanted)
    assert (await back(world, "waits")).effect == ALLOW
    assert codes(await back(world, "waits")) == ["already_redeemed"]


@pytest.mark.parametrize("note", ["approved", "confirmed", "agreed"])
async def test_what_people_had_answered_counts(world: World, note: str) -> None:
    assert (await back(world, note)).effect == ALLOW


async def test_a_vote_of_the_other_release_and_one_of_this_fill_two_seats(world: World, approvers: Approvers) -> None:
    assert (await back(world, "half")).effect == PENDING
    await approvers.vote(DAVE, SAID["half"]["approval"])
    assert (await back(world, "half")).effect == ALLOW


async def test_a_subject_confirms_what_the_other_release_asked(world: World, approvers: Approvers) -> None:
    await approvers.vote(ALICE, SAID["to be confirmed"]["approval"])
    assert (await back(world, "to be confirmed")).effect == ALLOW


async def test_a_grant_goes_on(world: World) -> None:
    assert (await back(world, "granted")).effect == ALLOW  # by the approval itself
    for _ in range(2):
        assert (await back(world, "granted", token=False)).effect == ALLOW
    assert (await back(world, "granted", token=False)).effect == PENDING


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ("refused", "requirement.refused"),
        ("taken back", "requirement.cancelled"),
        ("redeemed", "already_redeemed"),
    ],
)
async def test_what_was_over_stays_over(world: World, note: str, code: str) -> None:
    assert codes(await back(world, note)) == [code]


async def test_what_nobody_answered_in_time_expires(tmp_path: Path) -> None:
    late = WEDNESDAY_NS + 3600 * NS
    async with before.after(tmp_path, RELEASED.with_suffix(".sql"), late) as world:
        assert await world.process.approvals.services.sweep.run_once(world.now_ns)
        for note in ("waits", "approved", "half", "to be confirmed"):
            row = world.process.store.approval("acme", SAID[note]["approval"])
            assert row is not None
            assert row.state is State.EXPIRED
            assert codes(await back(world, note)) == ["requirement.expired"]


async def test_of_what_policy_words_anew_only_refusals_count(tmp_path: Path) -> None:
    """Approvals and open requests are for what they were asked about, and are asked about again."""
    async with before.after(tmp_path, RELEASED.with_suffix(".sql"), pack=before.REWORDED) as world:
        for token in (True, False):
            assert codes(await back(world, "refused", token=token)) == ["requirement.refused"]
        await Approvers(world).vote(DAVE, SAID["waits"]["approval"])  # it can be answered, and settles nothing
        row = world.process.store.approval("acme", SAID["waits"]["approval"])
        assert row is not None
        assert row.state is State.APPROVED
        for note in ("waits", "approved", "confirmed", "half", "granted"):
            again = await back(world, note)
            assert (again.effect, len(waiting(again))) == (PENDING, 1), note
            assert waiting(again) != [SAID[note]["approval"]], note
        await Approvers(world).vote(DAVE, *waiting(await back(world, "approved")))
        assert (await back(world, "approved")).effect == ALLOW


async def test_a_refusal_of_other_words_ends_when_its_own_cool_down_does(tmp_path: Path) -> None:
    sql = RELEASED.with_suffix(".sql")
    async with before.after(tmp_path, sql, WEDNESDAY_NS + 3600 * NS, pack=before.REWORDED) as world:
        assert (await back(world, "refused", token=False)).effect == PENDING
