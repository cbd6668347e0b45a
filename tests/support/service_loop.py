"""For a conftest: its tests run on the event loop that serves."""

import asyncio
from collections.abc import Callable, Mapping

from pdp.host import event_loop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A hook of pytest-asyncio."""
    return {"service": event_loop.new_event_loop or asyncio.new_event_loop}
