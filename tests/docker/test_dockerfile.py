"""The image's file: what it must and must not say, and a sample of its steps (`make docker-steps` does all)."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from dockerfile import DOCKERFILE, ROOT, Scratch, read

BEFORE, (BUILD, FINAL) = read(DOCKERFILE.read_text())
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(path: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / path).read_text()))


def test_bases_are_pinned_by_digests_without_default() -> None:
    assert [i.text for i in BEFORE if i.name == "ARG"] == ["BUILD_DIGEST", "RUNTIME_DIGEST"]
    assert BUILD.base.endswith("@${BUILD_DIGEST}")
    assert FINAL.base.endswith("@${RUNTIME_DIGEST}")


def test_final_image_runs_nothing_and_has_no_shell() -> None:
    assert FINAL.all("RUN") == []
    assert FINAL.all("SHELL") == []
    assert "distroless" in FINAL.base
    assert all("--from=build" in i.text for i in FINAL.all("COPY"))
    assert FINAL.all("ADD") == BUILD.all("ADD") == []


def test_runs_as_a_number_that_is_not_root() -> None:
    user, _, group = FINAL.one("USER").text.partition(":")
    assert int(user) > 0
    assert int(group) > 0
    [state] = [i.text for i in FINAL.all("COPY") if i.text.endswith("/var/lib/pdp")]
    assert f"--chown={user}:{group}" in state


def test_only_the_state_folder_belongs_to_the_user() -> None:
    assert [i.text.split()[-1] for i in FINAL.all("COPY") if "--chown" in i.text] == ["/var/lib/pdp"]
    assert FINAL.one("WORKDIR").text == "/var/lib/pdp"


def test_commands_are_in_exec_form() -> None:
    health = FINAL.one("HEALTHCHECK").text.partition("CMD ")[2]
    for text in (FINAL.one("ENTRYPOINT").text, FINAL.one("CMD").text, health):
        assert text.startswith("["), text
    assert '"health"' in health
    assert FINAL.one("STOPSIGNAL").text == "SIGTERM"


def test_labels_come_from_arguments() -> None:
    labels = FINAL.one("LABEL").text
    for name in ("version", "revision", "created", "source"):
        assert f'org.opencontainers.image.{name}="${{{name.upper()}}}"' in labels
        assert f'{name.upper()}=""' in [i.text for i in FINAL.all("ARG")]


def test_every_install_is_checked_against_hashes_or_offline() -> None:
    installs = [part for i in BUILD.all("RUN") for part in i.text.split("&&") if " install " in part]
    assert len(installs) == 3
    assert all("--require-hashes --only-binary :all:" in part or "--no-index" in part for part in installs)


def test_locks_of_the_image_are_those_of_the_tree() -> None:
    tree = pins("requirements.lock")
    image, build = pins("docker/requirements.lock"), pins("docker/build.lock")
    assert {name: version for name, version in image.items() if tree.get(name) != version} == {}
    assert {"grpcio", "gordon-to-regorus", "hvac", "opa-python-client"} <= set(image)
    assert {name for name in build if name in tree and tree[name] != build[name]} == set()
    assert {"hatchling", "cyclonedx-bom"} <= set(build)
    assert not {"pytest", "mypy", "ruff"} & set(image)
    for path in ("docker/requirements.lock", "docker/build.lock"):
        blocks = re.split(r"(?m)^(?=[A-Za-z0-9])", (ROOT / path).read_text())[1:]
        assert all("--hash=sha256:" in block for block in blocks)


def test_ignore_file_lets_in_what_is_copied_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {word for i in BUILD.all("COPY") for word in i.words[:-1]}
    assert let_in == copied


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")  # of the lock file
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    """The image's own packages from a wheel built as the file says; others from the environment of the tests."""
    scratch = Scratch(tmp_path_factory.mktemp("image"))
    source = scratch.place("/src")
    for step in BUILD.all("COPY")[1:]:
        *sources, target = step.words
        for name in sources:
            scratch._copy(ROOT / name, source / target, only=len(sources) == 1)
    wheels = scratch.place("/opt/wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--wheel-dir", wheels, "."], cwd=source, check=True, timeout=100)
    [wheel] = wheels.iterdir()
    installed = scratch.folder / "image/opt/pdp"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    own = ("pdp", "_editable", "__editable")
    for entry in next(Path(p) for p in sys.path if p.endswith("site-packages")).iterdir():
        if not (installed / entry.name).exists() and not entry.name.startswith(own) and entry.suffix != ".pth":
            (installed / entry.name).symlink_to(entry)
    (scratch.folder / "image/var/lib/pdp").mkdir(parents=True)
    return scratch


def test_wheel_holds_the_rego_the_schemas_and_the_templates(image: Scratch) -> None:
    package = image.folder / "image/opt/pdp/pdp"
    for name in (
        "_rego/pdp/decision.rego",
        "_rego/schemas/input.json",
        "_rego/capabilities.json",
        "_judge_prompts/task-fit.md",
        "proof/record.schema.json",
        "local/pack_template/pack.rego",
        "local/starter_pack/pack.rego",
    ):
        assert (package / name).is_file(), name


def test_entry_point_answers(image: Scratch) -> None:
    assert image.run(FINAL, "--version").stdout.startswith("pdp, version")


def test_policy_that_comes_with_the_wheel_may_become_active(image: Scratch) -> None:
    done = image.run(FINAL, "policy", "check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "may become active" in done.stdout


def test_scaffold_comes_with_the_wheel(image: Scratch, tmp_path: Path) -> None:
    assert image.run(FINAL, "policy", "new", "payroll", str(tmp_path / "org")).returncode == 0
    assert image.run(FINAL, "policy", "check", str(tmp_path / "org")).returncode == 0


def test_configuration_is_checked(image: Scratch) -> None:
    done = image.run(FINAL, "config", "check", "--syntax-only", str(ROOT / "docs/config.example.yaml"))
    assert (done.returncode, done.stdout.startswith("ok: production")) == (0, True)


def test_probe_of_nothing_fails(image: Scratch) -> None:
    done = image.run(FINAL, "health", "--target", "127.0.0.1:1", "--timeout", "0.5")
    assert (done.returncode, done.stdout) == (1, "UNAVAILABLE\n")
