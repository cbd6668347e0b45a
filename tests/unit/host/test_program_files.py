"""What a command runs, as a digest: each file that counts changes it, and no other does."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from support.for_each import for_each

from pdp.host.program_files import ProgramChangedError, compare, program_digest, program_paths

PACKAGES = "env/lib/python3.11/site-packages"


def distribution(folder: Path, name: str, *requires: str, scripts: str = "") -> None:
    packages, info = folder / PACKAGES, f"{name}-1.0.dist-info"
    (packages / name).mkdir(parents=True)
    (packages / info).mkdir()
    (packages / name / "__init__.py").write_text(f"# {name}")
    (packages / name / "cached.pyc").write_bytes(b"1")
    (packages / info / "INSTALLER").write_text("pip")
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    (packages / info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{needs}\n")
    (packages / info / "entry_points.txt").write_text(f"[console_scripts]\n{scripts}\n" if scripts else "")
    rows = [
        f"{name}/__init__.py,,",
        f"{name}/cached.pyc,,",
        f"{info}/METADATA,,",
        f"{info}/INSTALLER,,",
        f"{info}/RECORD,,",
    ]
    rows += ["../../../bin/serve,,"] if scripts else []
    (packages / info / "RECORD").write_text("\n".join(rows))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "one"
    (folder / "env/bin").mkdir(parents=True)
    script = folder / "env/bin/serve"
    script.write_text(f"#!{folder}/env/bin/python\nimport server\n")
    script.chmod(0o755)
    (folder / "env/bin/python").symlink_to(sys.executable)
    distribution(folder, "server", "needed>=1; python_version > '3'", "absent", scripts="serve = server:main")
    distribution(folder, "needed")
    distribution(folder, "other")
    (folder / "app").mkdir()
    (folder / "app/package.json").write_text("{}")
    (folder / "app/index.js").write_text("serve()")
    return folder


COMMANDS = {
    "console script": ["env/bin/serve", "--root", "."],
    "module": ["env/bin/python", "-m", "server"],
    "script": ["node", "app/index.js"],
}
CHANGES = {
    "console script": ["env/bin/serve", f"{PACKAGES}/server/__init__.py", f"{PACKAGES}/needed/__init__.py"],
    "module": [f"{PACKAGES}/server/__init__.py", f"{PACKAGES}/needed/__init__.py", f"{PACKAGES}/at_start.pth"],
    "script": ["app/index.js", "app/package.json", "app/node_modules/x.js"],
}
NONE = [
    f"{PACKAGES}/other/__init__.py",
    f"{PACKAGES}/server/cached.pyc",
    f"{PACKAGES}/server-1.0.dist-info/INSTALLER",
]


def digest(place: Path, kind: str) -> str:
    program, *rest = COMMANDS[kind]
    return program_digest([str(place / program) if "/" in program else program, *rest], str(place))


@for_each("kind", list(COMMANDS))
def test_each_file_that_runs_counts(kind: str, place: Path) -> None:
    before = digest(place, kind)
    assert before.startswith("sha256:")
    for number, name in enumerate(CHANGES[kind]):
        path = place / name
        was = path.read_text() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text((was or "") + f"\n# {number}")
        assert digest(place, kind) != before, name
        path.unlink() if was is None else path.write_text(was)
        assert digest(place, kind) == before, name
    for name in NONE:
        (place / name).write_text("changed")
    assert digest(place, kind) == before


def test_the_same_package_elsewhere_is_the_same(place: Path, tmp_path: Path) -> None:
    there = tmp_path / "two"
    shutil.copytree(place, there, symlinks=True)
    (there / "env/bin/serve").write_text(f"#!{there}/env/bin/python\nimport server\n")
    for kind in COMMANDS:
        assert digest(there, kind) == digest(place, kind), kind


def test_what_is_gone_is_not_what_was_read(place: Path) -> None:
    command = [str(place / "env/bin/serve")]
    read = program_digest(command, str(place))
    compare(read, command, str(place))
    for name in (f"{PACKAGES}/needed/__init__.py", "env/bin/serve"):
        (place / name).unlink()
        with pytest.raises(ProgramChangedError):
            compare(read, command, str(place))


def test_paths_say_what_is_started_in_whatever_folder(place: Path) -> None:
    bin_, app = place / "env/bin", place / "app"
    serve, python, script = str(bin_ / "serve"), str(bin_ / "python"), str(app / "index.js")
    assert program_paths([serve, "--root", "."], "/") == (serve,)
    assert program_paths(["env/bin/serve"], str(place)) == (serve,)
    assert program_paths([python, script, "."], "/") == (python, script)
    assert program_paths([python, "index.js"], str(app)) == (python, script)


@for_each(
    "command",
    [
        ["npx", "server"],  # of the working folder, where there is one
        ["/usr/bin/uvx", "server"],
        ["env/bin/python"],
        ["env/bin/python", "-m", "server"],  # likewise
        ["env/bin/python", "-c", "import server", "app/index.js"],
        ["env/bin/python", "app"],  # its __main__ is not looked at
        ["env/bin/python", "app/absent.js"],
        ["bash", "-c", "serve"],
    ],
)
def test_paths_of_what_depends_on_the_folder_or_on_arguments_are_not_known(command: list[str], place: Path) -> None:
    assert program_paths(command, str(place)) == ()
