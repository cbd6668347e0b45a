"""The real OPA, for tests that compare with it: skipped without one, a failure in CI (which installs it)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_LOCAL = Path(__file__).parents[2] / ".tools" / "bin"


def find_opa() -> Path | None:
    """The `opa` that .ci/run installed, or one on the PATH."""
    found = shutil.which("opa", path=f"{_LOCAL}{os.pathsep}{os.environ.get('PATH', '')}")
    return Path(found) if found else None


def opa_or_skip() -> Path:
    """Likewise; skips the test, or fails it where `CI=true`."""
    found = find_opa()
    if found is None:
        why = "no opa on the PATH nor in .tools/bin (.ci/run installs it)"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)
    return found
