"""One console per test, as a browser would find it."""

from collections.abc import AsyncIterator

import pytest
from support.console_client import ConsoleClient, opened


@pytest.fixture
async def console() -> AsyncIterator[ConsoleClient]:
    async with opened() as made:
        yield made
