"""One console per test, as a browser would find it."""

from collections.abc import AsyncIterator

import pytest
from support.desk import Desk, opened


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with opened() as made:
        yield made
