"""An attempt that is taken back counts nowhere, and one that was cast cannot be taken back."""

import pytest
from support.approval_harness import ApprovalHarness
from support.approvals import person

from pdp.core.errors import InvalidRequest, NotFound
from pdp.core.rows.approvals import Approval
from pdp.core.rows.states import State
from pdp.people.votes import BallotInput


async def approve(harness: ApprovalHarness, asked: Approval, attempt: str) -> None:
    view = await harness.services.queue.get(person(), asked.id)
    ballot = BallotInput(attempt, "approve", presented=view.presented)
    await harness.services.votes.vote(person(), asked.id, ballot)


async def test_what_is_taken_back_is_never_cast(harness: ApprovalHarness) -> None:
    asked = await harness.open()
    for _ in range(2):  # as often as it is asked
        await harness.services.votes.void(person(), asked.id, "a-1")
    with pytest.raises(InvalidRequest) as refused:
        await approve(harness, asked, "a-1")
    assert refused.value.code == "request.reused"
    assert (harness.row(asked).state, harness.store.votes(asked.id)) == (State.PENDING, ())
    await approve(harness, asked, "a-2")
    assert harness.row(asked).state is State.APPROVED


async def test_what_was_cast_is_not_taken_back(harness: ApprovalHarness) -> None:
    asked = await harness.open()
    await approve(harness, asked, "a-1")
    with pytest.raises(InvalidRequest) as refused:
        await harness.services.votes.void(person(), asked.id, "a-1")
    assert refused.value.code == "request.reused"
    assert harness.row(asked).state is State.APPROVED


async def test_nobody_takes_back_anothers(harness: ApprovalHarness) -> None:
    asked = await harness.open()
    await harness.services.votes.void(person("ann"), asked.id, "a-1")
    await approve(harness, asked, "a-1")
    assert harness.row(asked).state is State.APPROVED


async def test_an_attempt_is_recorded_once_it_was_cast(harness: ApprovalHarness) -> None:
    """Not while it is held, not where it was taken back, and not because another person used its name."""
    asked, recorded = await harness.open(), harness.services.votes.recorded
    assert not await recorded(person(), asked.id, "a-1")
    await harness.services.votes.void(person(), asked.id, "a-1")
    assert not await recorded(person(), asked.id, "a-1")
    await approve(harness, asked, "a-2")
    assert await recorded(person(), asked.id, "a-2")
    assert not await recorded(person("ann"), asked.id, "a-2")
    assert not await recorded(person(), asked.id, "")


async def test_a_request_that_is_not_ones_to_see_is_not_there(harness: ApprovalHarness) -> None:
    asked = await harness.open()
    with pytest.raises(NotFound):
        await harness.services.votes.recorded(person("cat"), asked.id, "a-1")
    with pytest.raises(NotFound):
        await harness.services.votes.void(person("cat"), asked.id, "a-1")
    with pytest.raises(InvalidRequest):
        await harness.services.votes.void(person(), asked.id, "")
