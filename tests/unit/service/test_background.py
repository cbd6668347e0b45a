"""What a process does by the clock goes on, whatever one of its chores raises."""

from __future__ import annotations

import asyncio

import pytest

from pdp.core.errors import Unavailable
from pdp.runtime.background import again_and_again


@pytest.mark.parametrize("fault", [Unavailable("store.unreadable", "away"), RuntimeError("a bug"), TypeError()])
async def test_a_chore_that_fails_comes_again_and_keeps_no_other_from_its_turn(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    done = {"fails": 0, "after": 0}
    enough = asyncio.Event()

    async def fails() -> None:
        done["fails"] += 1
        raise fault

    async def after() -> None:
        done["after"] += 1
        if done["after"] == 3:
            enough.set()

    task = asyncio.create_task(again_and_again(0, fails=fails, after=after))
    await enough.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == {"fails": 3, "after": 3}
    assert caplog.text.count("fails: ") == (1 if isinstance(fault, Unavailable) else 3)  # its trace each time
