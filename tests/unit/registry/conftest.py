"""Fixtures of the registry's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests share `registry_bench`

from registry_bench import REVIEWED, Bench, definition


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    made.pin(definition(), definition("write_file"), review={"read_file": REVIEWED})
    made.sign()
    return made
