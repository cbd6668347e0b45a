"""What holds for all tests."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="module")
def engines_end_on_their_own_thread() -> Iterator[None]:
    """A regorus engine may only be dropped by the thread that made it. One that a test left in a cycle is collected
    here, on the tests' thread, before a later test's server thread happens to do it."""
    yield
    if "regorus" in sys.modules:
        gc.collect()
