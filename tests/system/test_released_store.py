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

from devtools.sandbox import ALICE, DAVE
from pdp.core.approvals.states import State
from pdp.core.check import NS
from pdp.store.migrations import VERSION
from pdp.v1 import types_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING
# with tables of revision 4 and of revision 19
RELEASED = [before.VECTORS / f"store_{commit}" for commit in ("b72bf29", "97c371d7")]


@pytest.fixture(scope="module", params=RELEASED, ids=lambda path: path.name)
def released(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.fixture(scope="module")
def said(released: Path) -> dict[str, Any]:
    """Ids and tokens that the release gave, by the note of the call."""
    known: dict[str, Any] = json.loads(released.with_suffix(".json").read_text())
    return known


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, released: Path) -> AsyncIterator[World]:
    async with before.after(tmp_path_factory.mktemp("released"), released.with_suffix(".sql")) as found:
        yield found


@pytest.fixture
def approvers(world: World) -> Approvers:
    return Approvers(world)


async def back(
    world: World, said: dict[str, Any], note: str, *, token: bool = True, call_id: str = ""
) -> DecideAnswer:
    """A call that the other release was asked about comes back, with the token that it gave."""
    known = said[note]
    return await answered(
        world, before.ask(world, known["tool"], note, known["token"] if token else "", call_id), "gateway"
    )


async def test_its_tables_are_brought_up_to_date_and_its_log_goes_on(world: World, said: dict[str, Any]) -> None:
    store: Any = world.process.store
    with store._engine.connect() as db:
        assert db.exec_driver_sql("PRAGMA user_version").scalar_one() == VERSION
    assert store.size() > said["records"]
    kinds = [json.loads(store.record_at(i).record)["kind"] for i in range(said["records"])]
    assert kinds.count("decision") > len(said) - 1


async def test_what_waited_is_looked_at_voted_on_and_allowed_once(
    world: World, approvers: Approvers, said: dict[str, Any]
) -> None:
    wanted = said["waits"]["approval"]
    assert (await approvers.look(DAVE, wanted)).may_vote
    again = await back(world, said, "waits")
    assert (again.effect, waiting(again)) == (PENDING, [wanted])  # it attaches to what the other release opened
    await approvers.vote(DAVE, wanted)
    assert (await back(world, said, "waits")).effect == ALLOW
    assert codes(await back(world, said, "waits")) == ["already_redeemed"]


@pytest.mark.parametrize("note", ["approved", "confirmed", "agreed"])
async def test_what_people_had_answered_counts(world: World, note: str, said: dict[str, Any]) -> None:
    assert (await back(world, said, note)).effect == ALLOW


async def test_a_vote_of_the_other_release_and_one_of_this_fill_two_seats(
    world: World, approvers: Approvers, said: dict[str, Any]
) -> None:
    assert (await back(world, said, "half")).effect == PENDING
    await approvers.vote(DAVE, said["half"]["approval"])
    assert (await back(world, said, "half")).effect == ALLOW


async def test_a_subject_confirms_what_the_other_release_asked(
    world: World, approvers: Approvers, said: dict[str, Any]
) -> None:
    await approvers.vote(ALICE, said["to be confirmed"]["approval"])
    assert (await back(world, said, "to be confirmed")).effect == ALLOW


async def test_a_grant_goes_on(world: World, said: dict[str, Any]) -> None:
    assert (await back(world, said, "granted")).effect == ALLOW  # by the approval itself
    for _ in range(2):
        assert (await back(world, said, "granted", token=False)).effect == ALLOW
    assert (await back(world, said, "granted", token=False)).effect == PENDING


@pytest.mark.parametrize(
    ("note", "code"),
    [
        ("refused", "requirement.refused"),
        ("taken back", "requirement.cancelled"),
        ("redeemed", "already_redeemed"),
    ],
)
async def test_what_was_over_stays_over(world: World, note: str, code: str, said: dict[str, Any]) -> None:
    assert codes(await back(world, said, note)) == [code]


async def test_what_nobody_answered_in_time_expires(tmp_path: Path, said: dict[str, Any], released: Path) -> None:
    late = WEDNESDAY_NS + 3600 * NS
    async with before.after(tmp_path, released.with_suffix(".sql"), late) as world:
        assert await world.process.approvals.services.sweep.run_once(world.now_ns)
        for note in ("waits", "approved", "half", "to be confirmed"):
            row = world.process.store.approval("acme", said[note]["approval"])
            assert row is not None
            assert row.state is State.EXPIRED
            assert codes(await back(world, said, note)) == ["requirement.expired"]


async def test_of_what_policy_words_anew_only_refusals_count(
    tmp_path: Path, said: dict[str, Any], released: Path
) -> None:
    """Approvals and open requests are for what they were asked about, and are asked about again."""
    async with before.after(tmp_path, released.with_suffix(".sql"), pack=before.REWORDED) as world:
        for token in (True, False):
            assert codes(await back(world, said, "refused", token=token)) == ["requirement.refused"]
        await Approvers(world).vote(DAVE, said["waits"]["approval"])  # it can be answered, and settles nothing
        row = world.process.store.approval("acme", said["waits"]["approval"])
        assert row is not None
        assert row.state is State.APPROVED
        for note in ("waits", "approved", "confirmed", "half", "granted"):
            again = await back(world, said, note)
            assert (again.effect, len(waiting(again))) == (PENDING, 1), note
            assert waiting(again) != [said[note]["approval"]], note
        await Approvers(world).vote(DAVE, *waiting(await back(world, said, "approved")))
        assert (await back(world, said, "approved")).effect == ALLOW


async def test_a_refusal_of_other_words_ends_when_its_own_cool_down_does(
    tmp_path: Path, said: dict[str, Any], released: Path
) -> None:
    sql = released.with_suffix(".sql")
    async with before.after(tmp_path, sql, WEDNESDAY_NS + 3600 * NS, pack=before.REWORDED) as world:
        assert (await back(world, said, "refused", token=False)).effect == PENDING
