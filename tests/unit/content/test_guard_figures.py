"""The figures of guards in `docs/argument-guards-measured.md` are those of today's guards."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from pdp.content.guards.codes import CODES

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("guard_figures", ROOT / "tests/corpora/guards/figures.py")
assert _SPEC is not None
assert _SPEC.loader is not None
measure = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(measure)


@pytest.mark.sweep
def test_the_figures_are_so() -> None:
    """For every source that is here; lists that may not lie in the repository are measured where they are."""
    shown = json.loads(measure.FIGURES.read_text(encoding="utf-8"))
    found = measure.figures(measure.load(measure.HERE)) | measure.figures(measure.load(measure.ELSEWHERE))
    assert found
    assert {name: row for name, row in shown.items() if name in found} == found


def test_harmless_texts_are_rarely_denied() -> None:
    shown = json.loads(measure.FIGURES.read_text(encoding="utf-8"))
    harmless = {name: row for name, row in shown.items() if name.endswith("/ harmless") and row["role"] == "reported"}
    assert {name.split(" / ")[0] for name in harmless} == set(CODES)
    for name, row in harmless.items():
        assert row["denied"] <= 0.05 * row["texts"], name
