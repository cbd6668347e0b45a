"""The figures of guards in `docs/guards.md` are those of today's guards."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
from support.for_each import for_each

from pdp.content.guards.codes import CODES

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("guard_figures", ROOT / "tests/corpora/guards/figures.py")
assert _SPEC is not None
assert _SPEC.loader is not None
measure = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(measure)


OWN = {
    (kind, label): texts
    for kind, sources in measure.load(measure.HERE).items()
    for label, texts in sources.get("own", {}).items()
}


@for_each("kind", [kind for kind, label in OWN if label == "attack"])
def test_no_attack_of_ours_passes_unasked(kind: str) -> None:
    answers = measure.answers(kind, OWN[kind, "attack"])
    assert [text for text, answer in answers.items() if not answer] == []


@for_each("kind", [kind for kind, label in OWN if label == "harmless"])
def test_ordinary_texts_are_rarely_flagged(kind: str) -> None:
    found = list(measure.answers(kind, OWN[kind, "harmless"]).values())
    assert found.count("denied") <= 0.02 * len(found)
    assert found.count("asked") <= 0.10 * len(found)


def test_ordinary_values_are_flagged_no_more_than_they_were() -> None:
    """Measured before the guards were sharpened: 3.2 % denied, 8.8 % asked about."""
    texts, denied, asked = measure.in_vain(measure.figures(measure.load(measure.HERE)))
    assert texts >= 340
    assert denied <= 11 / 340 * texts
    assert asked <= 30 / 340 * texts


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
    harmless = {
        name: row for name, row in harmless.items() if measure.ORDINARY not in name
    }  # counted together, above
    by_calls = {"argv", "text", "unknown"}  # measured in test_exploits.py, for they have no texts of their own
    assert {name.split(" / ")[0] for name in harmless} == set(CODES) - by_calls
    for name, row in harmless.items():
        assert row["denied"] <= 0.05 * row["texts"], name
