"""The service runs on uvloop, and without it on asyncio's own loop."""

import asyncio

import pytest

from pdp.host import event_loop

BUG = "text-of-a-bug"


async def which() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def test_it_is_uvloop(caplog: pytest.LogCaptureFixture) -> None:
    assert event_loop.run(which()) == "uvloop"
    assert caplog.messages == []


def test_without_uvloop_it_is_asyncio_s_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(event_loop, "new_event_loop", None)
    assert event_loop.run(which()) == "asyncio"
    (said,) = caplog.messages
    assert said.startswith("uvloop is not installed")


def test_what_goes_wrong_goes_on() -> None:
    async def fails() -> None:
        raise ValueError(BUG)

    with pytest.raises(ValueError, match=BUG):
        event_loop.run(fails())
