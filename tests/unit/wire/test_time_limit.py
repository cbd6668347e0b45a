"""One timer gives each of many blocks its own time."""

import asyncio

import pytest

from pdp.core.errors import DeadlineTooShort
from pdp.wire.grpc.interceptors import TimeLimit

LATE = ("a.late", "Too late.")


def limit(seconds: float = 0.05) -> TimeLimit:
    return TimeLimit(seconds, *LATE)


async def hanging(within: TimeLimit) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(DeadlineTooShort) as late, within:
        await asyncio.Event().wait()
    assert (late.value.code, late.value.message) == LATE
    return loop.time() - began


async def test_each_has_all_of_its_time() -> None:
    within, tasks = limit(), list[asyncio.Task[float]]()
    for _ in range(5):
        tasks.append(asyncio.create_task(hanging(within)))
        await asyncio.sleep(0.02)
    assert all(took >= 0.045 for took in await asyncio.gather(*tasks))  # a loop's clock may have steps of 1 ms
    assert all(task.cancelling() == 0 for task in tasks)


async def test_the_end_of_the_first_lets_the_next_one_wait_no_shorter() -> None:
    within = limit()
    with within:
        await asyncio.sleep(0)
    assert await asyncio.create_task(hanging(within)) >= 0.045
    with within:  # the task of the test has been in it before
        await asyncio.sleep(0)


async def test_what_is_cancelled_by_another_too_stays_cancelled() -> None:
    within, both = limit(), asyncio.Event()

    async def block() -> None:
        with within:
            try:
                await asyncio.Event().wait()
            finally:
                both.set()
                await asyncio.sleep(0.1)

    task = asyncio.create_task(block())
    await both.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelling() == 1


async def test_an_answer_that_comes_all_the_same_is_one() -> None:
    async def answered() -> int:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return 1
        return 0

    with limit():
        assert await answered() == 1
    with limit(), pytest.raises(ValueError, match="of its own"):  # noqa: PT012 - what it raises when it is late
        if await answered():
            raise ValueError("of its own")
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
