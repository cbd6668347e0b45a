"""What a run of the service left behind is used by the next: its requests, votes, grants, consents and tokens."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support import reopened
from support.approvers import Approvers, waiting
from support.world import WEDNESDAY_NS, DecideAnswer, World, answered, codes

from devtools.sandbox import ALICE, DAVE
from pdp.core.check import NS
from pdp.core.rows.states import State
from pdp.v1 import types_pb2

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def left(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The store that the first run left, and the ids and tokens that it gave, by the note of the call."""
    async with reopened.before(tmp_path_factory.mktemp("before")) as world:
        said = {"records": 0, **await reopened.fill(world)}
        said["records"] = world.process.store.size()
    return world.sandbox.folder / "store", said


@pytest.fixture(scope="module")
def store(left: tuple[Path, dict[str, Any]]) -> Path:
    return left[0]


@pytest.fixture(scope="module")
def said(left: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return left[1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory, store: Path) -> AsyncIterator[World]:
    async with reopened.after(tmp_path_factory.mktemp("after"), store) as found:
        yield found


@pytest.fixture
def approvers(world: World) -> Approvers:
    return Approvers(world)


async def back(
    world: World, said: dict[str, Any], note: str, *, token: bool = True, call_id: str = ""
) -> DecideAnswer:
    """A call that the other run was asked about comes back, with the token that it gave."""
    known = said[note]
    return await answered(
        world, reopened.ask(world, known["tool"], note, known["token"] if token else "", call_id), "gateway"
    )


async def test_its_log_goes_on(world: World, said: dict[str, Any]) -> None:
    store: Any = world.process.store
    assert store.size() > said["records"]
    kinds = [json.loads(store.record_at(i).record)["kind"] for i in range(said["records"])]
    assert kinds.count("decision") > len(said) - 1


async def test_what_waited_is_looked_at_voted_on_and_allowed_once(
    world: World, approvers: Approvers, said: dict[str, Any]
) -> None:
    wanted = said["waits"]["approval"]
    assert (await approvers.look(DAVE, wanted)).may_vote
    again = await back(world, said, "waits")
    assert (again.effect, waiting(again)) == (PENDING, [wanted])  # it attaches to what the other run opened
    await approvers.vote(DAVE, wanted)
    assert (await back(world, said, "waits")).effect == ALLOW
    assert codes(await back(world, said, "waits")) == ["already_redeemed"]


@pytest.mark.parametrize("note", ["approved", "confirmed", "agreed"])
async def test_what_people_had_answered_counts(world: World, note: str, said: dict[str, Any]) -> None:
    assert (await back(world, said, note)).effect == ALLOW


async def test_a_vote_of_the_other_run_and_one_of_this_fill_two_seats(
    world: World, approvers: Approvers, said: dict[str, Any]
) -> None:
    assert (await back(world, said, "half")).effect == PENDING
    await approvers.vote(DAVE, said["half"]["approval"])
    assert (await back(world, said, "half")).effect == ALLOW


async def test_a_subject_confirms_what_the_other_run_asked(
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


async def test_what_nobody_answered_in_time_expires(tmp_path: Path, said: dict[str, Any], store: Path) -> None:
    late = WEDNESDAY_NS + 3600 * NS
    async with reopened.after(tmp_path, store, late) as world:
        assert await world.process.approvals.services.sweep.run_once(world.now_ns)
        for note in ("waits", "approved", "half", "to be confirmed"):
            row = world.process.store.approval("acme", said[note]["approval"])
            assert row is not None
            assert row.state is State.EXPIRED
            assert codes(await back(world, said, note)) == ["requirement.expired"]


async def test_of_what_policy_words_anew_only_refusals_count(
    tmp_path: Path, said: dict[str, Any], store: Path
) -> None:
    """Approvals and open requests are for what they were asked about, and are asked about again."""
    async with reopened.after(tmp_path, store, pack=reopened.REWORDED) as world:
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
    tmp_path: Path, said: dict[str, Any], store: Path
) -> None:
    async with reopened.after(tmp_path, store, WEDNESDAY_NS + 3600 * NS, pack=reopened.REWORDED) as world:
        assert (await back(world, said, "refused", token=False)).effect == PENDING
