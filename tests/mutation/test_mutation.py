"""The list of mutants is sound, and a sample of it is caught. `make mutation` runs all of it."""

import gc
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path

import pytest
from mutant import Mutant, StaleMutantError
from mutants import MUTANTS
from run import CHECKS, HERE, QUICKEST, ROOT, Check, Trees, main, verdict
from trials import plant

# whatever needs the same trees runs in one process
SAMPLE = (
    "gate-check-negated",
    "evidence-for-another-call",
    "pack-denies-for-deny",
    "json-under-packs",
    "read-unknown-effect",
    "subject-leaks",
    "self-vote-by-linked-account",
)


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    made = Trees(tmp_path_factory.mktemp("trees"))
    made.compile()
    assert [made.complaint(check) for check in QUICKEST] == [None] * len(QUICKEST), (
        "the checks must pass without a mutant"
    )
    return made


def test_the_list_is_long_enough_and_names_are_unique() -> None:
    assert len(MUTANTS) >= 40
    assert [name for name, count in Counter(m.name for m in MUTANTS).items() if count > 1] == []


@pytest.mark.parametrize(
    "area", ["rego/pdp/", "rego/baseline/", "rego/lib/", "rego/examples/", "pdp/core/", "pdp/core/approvals/"]
)
def test_every_area_has_its_mutants(area: str) -> None:
    assert sum(m.file.startswith(area) for m in MUTANTS) >= 5


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.name)
def test_what_a_mutant_replaces_is_in_the_code_once(mutant: Mutant) -> None:
    changed = mutant.applied(ROOT)
    assert mutant.old is None or changed != (ROOT / mutant.file).read_text()
    assert mutant.attacks


def test_a_mutant_whose_text_is_gone_is_a_failure(trees: Trees) -> None:
    for stale in (
        Mutant("gone", "rego/pdp/gate.rego", "no such text", "", "x"),
        Mutant("twice", "rego/pdp/gate.rego", "some p\n", "", "x"),
        Mutant("moved", "rego/pdp/nowhere.rego", "package pdp", "", "x"),
        Mutant("there", "rego/pdp/gate.rego", None, "package pdp", "x"),
    ):
        with pytest.raises(StaleMutantError):
            stale.applied(ROOT)
        assert verdict(trees, stale, QUICKEST)[0] is False


@pytest.mark.parametrize("name", SAMPLE)
def test_it_is_caught(trees: Trees, name: str) -> None:
    mutant = next(m for m in MUTANTS if m.name == name)
    assert verdict(trees, mutant, QUICKEST)[0], mutant.attacks


def test_a_change_of_no_consequence_survives(trees: Trees) -> None:
    """So the checks do not fail of mutation as such; and the tree is whole again after the sample."""
    harmless = Mutant("comment", "rego/pdp/gate.rego", "# The checks that hold", "# These checks hold", "nothing")
    assert verdict(trees, harmless, QUICKEST) == (False, "SURVIVED, so nothing holds: nothing")


def test_all_checks_have_something_to_run() -> None:
    paths = [part for check in CHECKS for part in check.arguments if part.startswith(("tests/", str(HERE)))]
    assert len(paths) >= len(CHECKS)
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_an_unknown_name_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--only", "no-such-mutant"])
    assert ended.value.code == 2
    assert "no-such-mutant" in capsys.readouterr().err


def test_what_fails_anyway_catches_nothing(trees: Trees) -> None:
    always = Check("always", ("-c", "raise SystemExit(1)"), ("rego",))
    harmless = Mutant("comment", "rego/pdp/gate.rego", "# The checks that hold", "# These checks hold", "nothing")
    caught, why = verdict(trees, harmless, [always])
    assert not caught
    assert why.startswith("UNDECIDED")


def test_a_bug_is_planted_in_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in what was set aside from garbage collection, as collected tests are: a bug that no function gets
    survives every test."""
    before, after = "def answer():\n    return 1\n", "def answer():\n    return None\n"
    (tmp_path / "planted_in.py").write_text(before)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = import_module("planted_in")
    gc.freeze()
    plant("planted_in.py", before, after)
    assert loaded.answer() is None
    with pytest.raises(ValueError, match="planted_in"):
        plant("planted_in.py", after.replace("answer", "other"), before)
    del sys.modules["planted_in"]
