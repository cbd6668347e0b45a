"""A feature is added by its room, a row of the features and a row of the commands: two samples, in a copy of the
product that really runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from filecmp import dircmp
from pathlib import Path
from shutil import copy, copytree, ignore_patterns
from typing import Any

import pytest

from pdp.store.migrations import VERSION

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "tests" / "samples"


def appended(path: Path, *lines: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def with_samples(package: Path) -> None:
    """Add them: `tally` has all that a feature can have, `heartbeat` an option of a section that stands already."""
    room = package / "wire" / "tally"
    copytree(SAMPLES / "tally", room)
    (room / "revisions").mkdir()
    (room / "tally.sql").rename(room / "revisions" / f"r{VERSION + 1:04}_tally.sql")
    copy(SAMPLES / "heartbeat.py", package / "proof")
    appended(package / "proof/options.py", "class AuditOptions(AuditOptions):", "    heartbeat: bool = False")
    appended(
        package / "runtime/features.py",
        "from pdp.wire.tally import feature as tally",
        "from pdp.proof import heartbeat",
        "FEATURES = (*FEATURES, tally.FEATURE, heartbeat.FEATURE)",
    )
    appended(package / "cli/main.py", 'cli._lazy["tally"] = ("pdp.wire.tally.command:tally", "")')


def touched(found: dircmp[str], below: str = "") -> set[str]:
    """What is otherwise in the second folder, or there alone."""
    names = {f"{below}{name}" for name in (*found.diff_files, *found.right_only)}
    return names.union(*(touched(each, f"{below}{name}/") for name, each in found.subdirs.items()))


@pytest.mark.starts_server
def test_features_are_added_without_a_change_of_any_hub(tmp_path: Path) -> None:
    package = tmp_path / "pdp"
    copytree(ROOT / "pdp", package, ignore=ignore_patterns("__pycache__"))
    for name in ("rego", "judge_prompts"):
        (tmp_path / name).symlink_to(ROOT / name)
    with_samples(package)
    own = {"wire/tally", "proof/heartbeat.py", "proof/options.py"}
    changed = touched(dircmp(ROOT / "pdp", package, ignore=["__pycache__"]))
    assert changed == {*own, "runtime/features.py", "cli/main.py"}
    said = driven(tmp_path, {"tally": {"file": str(package)}, "audit": {"heartbeat": True}})
    assert said == {
        "before": False,
        "levels": {"pdp.tally": True, "pdp.heartbeat": True},
        "instruments": ["pdp.tally"],
        "command": [0, "looked: True\n"],
        "problems": [["config.invalid", ["tally", "seconds"]], ["tally.file", ["tally", "file"]]],
        "choices": [["tally", "seconds"]],
    }


def driven(tmp_path: Path, settings: dict[str, Any]) -> Any:
    paths = os.pathsep.join(map(str, (tmp_path, ROOT / "tests", ROOT)))
    folder = tmp_path / "d"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(SAMPLES / "drive.py"), str(folder), json.dumps(settings)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
