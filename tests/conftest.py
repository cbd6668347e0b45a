"""What holds for all tests."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator

import pytest

GATE_REPORTS = "TEST_GATE_REPORTS"  # see support/gate.py


def pytest_configure(config: pytest.Config) -> None:
    """The folder of a run's gate reports; worker processes, and runs that a test starts, inherit it."""
    if GATE_REPORTS not in os.environ:
        os.environ[GATE_REPORTS] = tempfile.mkdtemp(prefix="gate-reports-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ.pop(GATE_REPORTS)))


@pytest.fixture(autouse=True, scope="module")
def engines_end_on_their_own_thread() -> Iterator[None]:
    """A regorus engine may only be dropped by the thread that made it. One that a test left in a cycle is collected
    here, on the tests' thread, before a later test's server thread happens to do it."""
    yield
    if "regorus" in sys.modules:
        gc.collect()
