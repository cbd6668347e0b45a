"""One world, one provider and one browser for each module here; each test asks for calls of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser
from support.browser import browser
from support.console_world import ConsoleWorld, console_world
from support.outside import need


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ConsoleWorld]:
    need("chromium")
    async with console_world(tmp_path_factory.mktemp("b")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    need("chromium")
    async with browser() as found:
        yield found
