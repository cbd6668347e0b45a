"""The first command of the README, on a clone with an empty home and nothing that pip kept, by each Python."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.sweep  # installs everything once more, for a minute or two each
ROOT = Path(__file__).resolve().parents[2]
KEPT = ("PATH", "LANG", "SSL_CERT_FILE")  # and what says where the package index is: PIP_…


def interpreter(version: str) -> str | None:
    """On the PATH, or in pyenv's folder; a name there that pyenv does not serve is none."""
    places = [Path(each) for each in os.environ["PATH"].split(os.pathsep)]
    places += sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin"))
    for program in (place / f"python{version}" for place in places):
        trying = [program, "-c", "import venv, ensurepip"]
        if shutil.which(program) and not subprocess.run(trying, capture_output=True, check=False).returncode:
            return str(program)
    return None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_demo_runs_on_a_fresh_clone(version: str, tmp_path: Path) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here, and no registry that this project uses has one")
    subprocess.run(["git", "clone", "-q", ROOT, tmp_path / "clone"], check=True)
    (tmp_path / "home").mkdir()
    environment = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith("PIP_")}
    done = subprocess.run(
        ["make", "demo", f"PYTHON={python}"],
        cwd=tmp_path / "clone",
        env={**environment, "HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "answers were the expected ones" in done.stdout
