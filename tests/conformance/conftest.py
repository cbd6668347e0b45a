from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.outside import need

sys.path.insert(0, str(Path(__file__).parent))

import engines


@pytest.fixture(scope="session")
def opa() -> Iterator[engines.Opa]:
    """A real OPA for snippets; skipped without one, a failure in CI."""
    with engines.serving(need("opa")) as server:
        yield server
