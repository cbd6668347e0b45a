"""The services for people on a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.approval_harness import ApprovalHarness
from support.approval_harness import harness as opened


@pytest.fixture
async def harness(tmp_path: Path) -> AsyncIterator[ApprovalHarness]:
    async with opened(tmp_path) as found:
        yield found
