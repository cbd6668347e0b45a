"""Start-up refuses any other owner of the module `regorus` than the distribution that we conformance-test."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import machinery, metadata, util
from pathlib import Path

import pytest

from pdp.core.errors import ConfigurationFault
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.embedded import regorus_binding
from pdp.policy.embedded.regorus_binding import DISTRIBUTION, version
from pdp.policy.gate import process


def distribution(folder: Path, name: str) -> None:
    info = folder / f"{name.replace('-', '_')}-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")


def refused() -> str:
    with pytest.raises(ConfigurationFault) as caught:
        version()
    assert caught.value.code == "engine.distribution"
    return caught.value.message


def test_the_installed_one_is_named() -> None:
    assert version() == f"regorus/{metadata.version(DISTRIBUTION)} ({DISTRIBUTION})"


@pytest.mark.parametrize("rival", ["celine-regorus", "regorus"])
def test_a_rival_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rival: str) -> None:
    distribution(tmp_path, rival)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert rival in refused()


def test_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regorus_binding, "DISTRIBUTION", "no-such-distribution")
    assert "not installed" in refused()


def test_a_module_of_that_name_that_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = util.find_spec("regorus")
    assert spec is not None
    assert spec.origin is not None
    shutil.copytree(Path(spec.origin).parent, tmp_path / "regorus")
    begin = "import sys; sys.path.insert(0, sys.argv[1]); "
    script = f"{begin}from pdp.policy.embedded.regorus_binding import version; version()"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False)
    assert "engine.distribution" not in done.stdout
    assert "not as gordon-to-regorus installed it" in done.stderr


def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The distribution once more, where it comes first: the folder of its module."""
    found = metadata.distribution(DISTRIBUTION)
    [info] = {Path(str(f.locate())).parent for f in found.files or () if f.name == "RECORD"}
    for folder in (info, info.parent / "regorus"):
        shutil.copytree(folder, tmp_path / folder.name)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "regorus", raising=False)
    assert version()
    return tmp_path / "regorus"


def test_a_file_that_was_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a rival of any name does: the same files, installed over ours."""
    module = copied(tmp_path, monkeypatch)
    with (module / "__init__.py").open("a") as file:
        file.write("# changed\n")
    assert "not as gordon-to-regorus installed it" in refused()
    shutil.rmtree(module)
    assert refused()


@pytest.mark.parametrize("suffix", machinery.EXTENSION_SUFFIXES)
def test_an_extension_module_beside_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    """A rival's wheel for one version of Python writes another file than ours, and that one is imported."""
    module = copied(tmp_path, monkeypatch)
    (module / f"regorus{suffix}").write_bytes(b"another engine")
    assert "not as gordon-to-regorus installed it" in refused()


def test_no_policy_is_even_read_by_a_rival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever engine answers: the gate parses with this one, and runs the packs' tests on it."""
    bundle = read_bundle(shipped_rego(), None)
    distribution(tmp_path, "celine-regorus")
    monkeypatch.syspath_prepend(str(tmp_path))
    for job in (process.check, process.run_tests, lambda b: process.places(b, b"{}", ())):
        with pytest.raises(ConfigurationFault) as caught:
            job(bundle)
        assert caught.value.code == "engine.distribution"
