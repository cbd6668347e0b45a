"""Import paths from before the rooms, `pdp.adapters.mcp` and `pdp.adapters.frameworks`, each in a fresh process."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from pdp.client import frameworks, mcp

# one that needs no framework; the others import what they serve
OLD = [f"pdp.adapters.mcp.{each.name}" for each in pkgutil.iter_modules(mcp.__path__)] + [
    f"pdp.adapters.frameworks.{each.name}"
    for each in pkgutil.iter_modules(frameworks.__path__)
    if each.name == "tool_guard"
]


def ran(program: str, *options: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, *([] if program.endswith(".py") else ["-c"]), program]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.parametrize("new_first", [False, True])
def test_each_module_is_the_same_by_both_names(*, new_first: bool) -> None:
    done = ran(
        "import importlib, importlib.util, pickle, sys\n"
        f"for old in {['pdp.adapters.mcp', 'pdp.adapters.frameworks', *OLD]}:\n"
        "    new = old.replace('.adapters.', '.client.', 1)\n"
        f"    names = [new, old] if {new_first} else [old, new]\n"
        "    first, second = map(importlib.import_module, names)\n"
        "    assert first is second is sys.modules[old] is sys.modules[new], old\n"
        "    assert (first.__name__, first.__spec__.name) == (new, new), old\n"
        "    assert importlib.reload(first) is first, old\n"
        "    assert importlib.util.find_spec(old).name == new, old\n"
        "from pdp.adapters.mcp.effects import EffectWatch\n"
        "assert EffectWatch.__module__ == 'pdp.client.mcp.effects'\n"
        "assert pickle.loads(pickle.dumps(EffectWatch)) is EffectWatch\n"
        "try: import pdp.adapters.mcp.no_such_module\n"
        "except ModuleNotFoundError as error: assert error.name == 'pdp.adapters.mcp.no_such_module'\n"
        "else: raise AssertionError\n"
        "assert importlib.util.find_spec('pdp.adapters.mcp.no_such_module') is None\n",
        "-W",
        "ignore::DeprecationWarning",
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_importer_is_told_once_at_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "guard.py").write_text(
        "import pdp.adapters.mcp.effects\nfrom pdp.adapters.mcp import effects\nimport pdp.client, pdp.v1\n"
    )
    done = ran("guard.py", "-W", "always::DeprecationWarning", folder=tmp_path)
    told = [line for line in done.stderr.splitlines() if "DeprecationWarning" in line]
    assert [line.partition("guard.py")[2] for line in told] == [
        ":1: DeprecationWarning: pdp.adapters.mcp is pdp.client.mcp now",
        ":1: DeprecationWarning: pdp.adapters.mcp.effects is pdp.client.mcp.effects now",
    ]


def test_where_warnings_are_errors_the_import_fails_and_leaves_nothing_half_done() -> None:
    done = ran(
        "import sys\n"
        "for _ in range(2):\n"
        "    try: import pdp.adapters.mcp.effects\n"
        "    except DeprecationWarning as error: print(error)\n"
        "assert not any(name.startswith('pdp.adapters.mcp') for name in sys.modules)\n"
        "import pdp.client.mcp.effects\n",
        "-W",
        "error::DeprecationWarning",
    )
    assert (done.returncode, done.stdout) == (0, "pdp.adapters.mcp is pdp.client.mcp now\n" * 2)
