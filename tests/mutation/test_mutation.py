"""The sampler plants what it says it plants. `make mutation-sample` plants a sample in the product."""

import ast
import gc
import sys
from importlib import import_module
from pathlib import Path

import pytest
from sites import sites
from trials import plant

LOOKED_AT = """\
def f(a, b):
    if a and b < 1:
        return [x for x in a if x]
    try:
        g(a, key=b)
    except (KeyError, OSError):
        a.n += 1
    return any(a) if a else (b, True)
"""
BUGS = (
    "if False:",
    "if (a or b < 1):",
    "if (b < 1):",
    "if a and (b <= 1):",
    "return None",
    "return ([x for x in a])",
    "    pass\n    except",
    "g(a)",
    "except ((OSError,)):",
    "OSError):\n        pass",
    "return all(a) if a",
    "return ((b, True))",
    "(b, False)",
    "else ((b,))",
)


def test_every_kind_of_bug_is_found(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(LOOKED_AT)
    planted = [site.applied(LOOKED_AT.encode()).decode() for site in sites(tmp_path, "f.py")]
    same = {ast.dump(ast.parse(LOOKED_AT))}
    assert not same & {ast.dump(ast.parse(text)) for text in planted}
    assert [bug for bug in BUGS if not any(bug in text for text in planted)] == []


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
