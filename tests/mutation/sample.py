"""Plants a sample of small bugs where chance has it, and sees whether the tests that run those lines notice.

    python tests/mutation/sample.py [--sites 200] [--seed N] [--jobs N] [--areas AREA]... [--stages N] [--only TEXT]

The sites are of every folder of pdp/, as many of each, and of the Rego that we ship. The tests come in stages: those
that import the sites' modules and those of the shipped policy; all others without servers; those with; the system's.
In each they run once, in a copy of the tree, to learn which of them run the lines of the sites; then each bug is
planted in a copy and those tests are tried, fastest first, up to the first that fails. That one must pass again
without the bug, or it does not count. What survives goes on to the next stage; what survives the last is a missing
test, unless `equivalent.yaml` says why nothing can notice it. A line that only processes run which tests start is not
measured: it is tried at last with the tests that run something else of its folder.

What is learnt is kept in var/mutation until the code or a test changes: a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import coverage
import yaml
from rego_sites import rego_sites
from sites import Site, sites
from trials import UNFIT

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "var", "build", "dist")
# what tests start, which is nobody's to change
LINKED = (".tools", ".venv-demo", ".venv-frameworks", ".venv-litellm", ".venv-cpex")
UNITS = ("tests/unit", "tests/contract", "tests/properties")
GOLDEN = "tests/system/test_golden.py"
EQUIVALENT = HERE / "equivalent.yaml"
KEPT = ROOT / "var" / "mutation"
FILES = 6  # that one process measures
SECONDS, SECONDS_NEAR = 90, 20  # of tests, as measured, that are tried on one bug in a stage
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "--no-header",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-p",
    "coverage_by_test",
)


class Trees:
    """Copies of the repository, in which one bug at a time lives: the first, and one per thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = threading.local()
        self.first = folder / "first"
        # whole: of what is missing, Python would take the installed one, which is another tree's
        shutil.copytree(ROOT, self.first, ignore=LEFT_OUT, symlinks=True)
        for name in LINKED:
            if (ROOT / name).exists():
                (self.first / name).symlink_to(ROOT / name)

    def compile(self) -> None:
        """Compile the first tree's modules, which the others then have too; pytest compiles those of tests itself."""
        parts = ("pdp", "tests/support")
        subprocess.run([sys.executable, "-m", "compileall", "-q", *parts], cwd=self.first, check=True)

    def tree(self) -> Path:
        """This thread's."""
        if not hasattr(self._mine, "tree"):
            self._mine.tree = Path(tempfile.mkdtemp(dir=self._folder)) / "tree"
            shutil.copytree(self.first, self._mine.tree, symlinks=True)
        tree: Path = self._mine.tree
        return tree


@dataclass(frozen=True, slots=True)
class Stage:
    """Test files, as far as pytest's marker expression takes their tests."""

    name: str
    marker: str
    files: Sequence[str]


def stages(sample: Sequence[Site]) -> list[Stage]:
    """In their order."""
    near = [file for file in _test_files(*UNITS) if _is_near(file, {site.file for site in sample})]
    far = [file for file in _test_files(*UNITS) if file not in near]
    golden = [GOLDEN] if any(site.file.startswith("rego/") for site in sample) else []
    return [
        Stage("near", "not starts_server", near),
        Stage("far", "not starts_server", far),
        Stage("servers", "starts_server", [*golden, *near, *far]),
        Stage("system", "", _test_files("tests/system")),
    ]


def _test_files(*folders: str) -> list[str]:
    paths = (path for folder in folders for path in (ROOT / folder).rglob("test_*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def _is_near(file: str, modules: Collection[str]) -> bool:
    """Whether a test file is of the shipped policy, or imports one of the modules itself."""
    if file.startswith("tests/unit/rego/"):
        return any(module.startswith("rego/") for module in modules)
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return any(f"{name.replace('.', '/')}{end}" in modules for name in names for end in (".py", "/__init__.py"))


@dataclass(frozen=True, slots=True)
class Test:
    """A test that passes, and for how long it runs while it is measured."""

    name: str
    seconds: float

    @property
    def file(self) -> str:
        """The file's path."""
        return self.name.partition("::")[0]


class Measured:
    """Which tests run which lines: the data that `coverage_by_test.py` wrote."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._data = [coverage.CoverageData(str(part)) for part in parts if part.exists()]
        for data in self._data:
            data.read()
        self.files = defaultdict[str, list[Test]](list)  # with the tests in their order
        self._opened = defaultdict[str, set[str]](set)  # contexts by the Rego that is read in them
        for part in parts:
            learnt = json.loads(part.with_suffix(".json").read_text())
            for context, files in learnt["opened"].items():
                for file in files:
                    self._opened[file].add(context)
            for name, entry in learnt["tests"].items():
                if entry["passed"]:
                    self.files[name.partition("::")[0]].append(Test(name, entry["seconds"]))
        self._tests = {test.name: test for tests in self.files.values() for test in tests}
        self._lock = threading.Lock()  # the data's database

    def running(self, site: Site) -> list[Test]:
        """The tests that run a line of it, or read the Rego that it is in."""
        return self._of(self._contexts(site.file, set(range(site.line, site.last + 1))))

    def near(self, site: Site) -> list[Test]:
        """The tests that run modules of its folder. What runs in a process of its own is not measured."""
        modules = {path for data in self._data for path in data.measured_files()}
        neighbours = [path for path in modules if Path(path).parent == Path(site.file).parent]
        tests = self._of({context for path in neighbours for context in self._contexts(path, None)})
        by_file = defaultdict[str, list[Test]](list)
        for test in tests:
            by_file[test.file].append(test)
        # the fastest of each file, then the second of each
        return [test for turn in zip_longest(*by_file.values()) for test in turn if test]

    def _contexts(self, file: str, lines: set[int] | None) -> set[str]:
        if file.endswith(".rego"):
            return self._opened[file]
        with self._lock:
            measured = [data.contexts_by_lineno(file).items() for data in self._data]
        return {
            context
            for by_line in measured
            for line, contexts in by_line
            if lines is None or line in lines
            for context in contexts
        }

    def _of(self, contexts: set[str]) -> list[Test]:
        found = {self._tests[name] for name in contexts if name in self._tests}
        for context in contexts:
            if context.endswith("::"):
                found.update(self.files[context[:-2]])
        return sorted(found, key=lambda test: (test.seconds, test.name))


def rooms() -> dict[str, list[Site]]:
    """Every site, by the folder of pdp/ or the Rego that we ship."""
    found = defaultdict[str, list[Site]](list)
    for module in sorted((ROOT / "pdp").glob("*/**/*.py")):
        if "_pb2" not in module.name:
            file = module.relative_to(ROOT).as_posix()
            found[file.split("/")[1]] += sites(ROOT, file)
    for module in sorted((ROOT / "rego").rglob("*.rego")):
        if not module.stem.endswith(("_test", "testing")):
            found["rego"] += rego_sites(ROOT, module.relative_to(ROOT).as_posix())
    return {room: every for room, every in found.items() if every}


def chosen(count: int, seed: int, areas: Sequence[str] = ()) -> list[Site]:
    """As many sites of each area, of all if none are named, in no order."""
    chance = random.Random(seed)
    every = rooms()
    areas = areas or sorted(every)
    share = [count // len(areas) + (number < count % len(areas)) for number in range(len(areas))]
    found = [
        site
        for area, wanted in zip(areas, share, strict=True)
        for site in chance.sample(every[area], min(wanted, len(every[area])))
    ]
    chance.shuffle(found)  # a run that was ended says something of all areas
    return found


def kept(todo: Sequence[Site], tree: Path) -> Path:
    """The folder for what is learnt about these sites in the repository as it is."""
    digest = hashlib.sha256("".join(sorted(map(_key, todo))).encode())
    for path in sorted(path for path in tree.rglob("*") if path.is_file()):
        name = path.relative_to(tree)
        if not (ROOT / name).is_relative_to(HERE):
            digest.update(f"{name}\0".encode() + path.read_bytes())
    return KEPT / digest.hexdigest()[:12]


def measured(trees: Trees, stage: Stage, todo: Sequence[Site], into: Path, jobs: int) -> Measured:
    """Which tests of a stage run which lines of the modules of the sites."""
    into.mkdir(parents=True, exist_ok=True)
    files, modules = stage.files, sorted({site.file for site in todo})
    groups = [
        (into / f"{stage.name}-{n:03}.coverage", files[n :: -(-len(files) // FILES)])
        for n in range(-(-len(files) // FILES))
    ]
    missing = [group for group in groups if not group[0].with_suffix(".json").exists()]

    def measure(group: tuple[Path, Sequence[str]]) -> str:
        part, paths = group
        part.unlink(missing_ok=True)
        code, said = _pytest(
            trees.first,
            [*(["-m", stage.marker] if stage.marker else []), *paths],
            seconds=3600,
            SAMPLE_COVERAGE=str(part),
            SAMPLE_MODULES=json.dumps(modules),
        )
        if code not in (0, 1, 5):
            raise SystemExit(f"the tests cannot be measured:\n{said[-2000:]}")
        return said.strip().splitlines()[-1]

    with ThreadPoolExecutor(jobs) as pool:
        jobs_ = [pool.submit(measure, group) for group in missing]
        for number, job in enumerate(as_completed(jobs_), 1):
            _say(f"measured {stage.name} {number}/{len(missing)}: {job.result()}")
    tests = Measured([part for part, _ in groups if part.with_suffix(".json").exists()])
    if not tests.files:
        raise SystemExit(f"no test was measured: {stage}")
    return tests


def _pytest(tree: Path, arguments: Sequence[str], *, seconds: float, **more: str) -> tuple[int | None, str]:
    """Exit code, None when it does not end, and output."""
    process = subprocess.Popen(
        [sys.executable, *PYTEST, *arguments],
        cwd=tree,
        env=_environment(tree, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None, ""
    return process.returncode, said


def _within(seconds: float, tests: Sequence[Test]) -> list[Test]:
    """The first, and as many more as fit, file by file."""
    found, total = [], 0.0
    for test in tests:
        if found and total + test.seconds > seconds:
            break
        found.append(test)
        total += test.seconds
    return sorted(found, key=lambda test: test.file)


class Trials:
    """A process that has collected the tests of a stage and tries them on one bug after the other (`trials.py`)."""

    def __init__(self, tree: Path, files: Collection[str]) -> None:
        self._tree = tree
        self._log = (tree.parent / "trials.log").open("w+")
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, *PYTEST, "-p", "trials", *sorted(files)],
            cwd=tree,
            env=_environment(tree, SAMPLE_JOBS=str(theirs_in), SAMPLE_ANSWERS=str(theirs_out)),
            pass_fds=(theirs_in, theirs_out),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._jobs, self._answers = os.fdopen(ours_out, "w"), os.fdopen(ours_in)
        self._answer()

    def failing(self, site: Site | None, tests: Sequence[Test]) -> str:
        """The first test that fails with the bug, or without any; "" when none does."""
        job = {"tests": [test.name for test in tests], "file": "", "seconds": _patience(tests)}
        with _planted(self._tree, site) as (before, after):
            if site:
                job |= {"file": site.file, "before": before, "after": after}
            self._jobs.write(json.dumps(job) + "\n")
            self._jobs.flush()
            answer = self._answer()
        return _failing(self._tree, site, tests) if answer == UNFIT else answer

    def _answer(self) -> str:
        line = self._answers.readline()
        if not line:
            raise SystemExit(f"the tests cannot be run:\n{(self._tree.parent / 'trials.log').read_text()[-2000:]}")
        answer: str = json.loads(line)
        return answer

    def close(self) -> None:
        """End the process."""
        self._jobs.close()
        self._process.wait()
        self._answers.close()
        self._log.close()


def caught_by(trials: Trials, site: Site, tests: Sequence[Test]) -> str:
    """What noticed the bug, or ""."""
    left = list(tests)
    while left and (failed := trials.failing(site, left)):
        blamed = [test for test in left if test.name == failed] or left
        if not trials.failing(None, blamed):
            return failed
        _say(f"    fails without the bug as well, so it does not count: {failed}")
        left = [test for test in left if test not in blamed]
    return ""


class Bench:
    """Each thread's tree and its trials, for one stage."""

    def __init__(self, trees: Trees, tests: Measured) -> None:
        self._trees, self._tests = trees, tests
        self._mine = threading.local()
        self._every: list[Trials] = []

    def tried_on(self, todo: Sequence[Site], stage: Stage, jobs: int) -> Iterator[tuple[Site, str]]:
        """The sites as they come, each with what noticed the bug, or ""."""
        with ThreadPoolExecutor(jobs) as pool:
            futures = {pool.submit(self._caught_by, site, self._tests_for(site, stage)): site for site in todo}
            for future in as_completed(futures):
                yield futures[future], future.result()
        for trials in self._every:
            trials.close()

    def _tests_for(self, site: Site, stage: Stage) -> list[Test]:
        if running := self._tests.running(site):
            return _within(SECONDS, running)
        return _within(SECONDS_NEAR, self._tests.near(site)) if stage.name == "system" else []

    def _caught_by(self, site: Site, tests: Sequence[Test]) -> str:
        if tests and not hasattr(self._mine, "trials"):
            self._mine.trials = Trials(self._trees.tree(), self._tests.files)
            self._every.append(self._mine.trials)
        return caught_by(self._mine.trials, site, tests) if tests else ""


class Verdicts:
    """What noticed each bug in each stage, or "", kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._of: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}

    def note(self, site: Site, stage: Stage, by: str) -> None:
        """Keep one."""
        self._of.setdefault(_key(site), {})[stage.name] = by
        self._path.write_text(json.dumps(self._of, indent=1))

    def tried(self, site: Site, stage: Stage) -> bool:
        """Whether it went through a stage."""
        return stage.name in self._of.get(_key(site), {})

    def caught(self, site: Site) -> bool:
        """Whether anything noticed it."""
        return any(self._of.get(_key(site), {}).values())


def _environment(tree: Path, **more: str) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if name != "TEST_GATE_REPORTS"},
        "PYTHONPATH": f"{tree}{os.pathsep}{HERE}",
        "PYTHONDONTWRITEBYTECODE": "1",
        **more,
    }


def _patience(tests: Sequence[Test]) -> float:
    """Seconds after which tests are said not to end."""
    return 90 + 6 * sum(test.seconds for test in tests)


@contextmanager
def _planted(tree: Path, site: Site | None) -> Iterator[tuple[str, str]]:
    """A file as it is and with the bug, which is in it meanwhile."""
    if site is None:
        yield "", ""
        return
    before = (tree / site.file).read_bytes()
    after = site.applied(before).decode()
    undo = _replace(tree / site.file, after)
    try:
        yield before.decode(), after
    finally:
        undo()


def _failing(tree: Path, site: Site | None, tests: Sequence[Test]) -> str:
    """As `Trials.failing`, in a process of its own."""
    listed, failed = tree.parent / "tests.json", tree.parent / "failed"
    listed.write_text(json.dumps([test.name for test in tests]))
    failed.unlink(missing_ok=True)
    with _planted(tree, site):
        code, said = _pytest(
            tree,
            ["-x", *dict.fromkeys(test.file for test in tests)],
            seconds=_patience(tests),
            SAMPLE_TESTS=str(listed),
            SAMPLE_FAILED=str(failed),
        )
    if code == 0:
        return ""
    if failed.exists():
        return failed.read_text()
    if code in (4, 5):
        raise SystemExit(f"the tests cannot be run:\n{said[-2000:]}")
    return "it does not end" if code is None else f"the run breaks: {said.strip().splitlines()[-1]}"


def reason_of(site: Site) -> str:
    """Why nothing can notice it, if `equivalent.yaml` says so of this line."""
    line = (ROOT / site.file).read_text().splitlines()[site.line - 1].strip()
    for each in yaml.safe_load(EQUIVALENT.read_text()) or ():
        is_it = (each["file"], each["kind"], each["old"], each["line"]) == (site.file, site.kind, site.old, line)
        if is_it and each.get("new", site.new) == site.new:
            return str(each["why"])
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Fails when less than nine in ten are noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--areas", nargs="+", default=(), metavar="AREA", help="folders of pdp/, or rego; all")
    parser.add_argument("--stages", type=int, default=4)
    parser.add_argument("--only", default="", metavar="TEXT", help="only the sites whose line in the output has it")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pdp-sample-") as folder:
        sample = chosen(options.sites, options.seed, options.areas)
        counted = [site for site in sample if not reason_of(site)]  # before anybody edits this tree meanwhile
        trees = Trees(Path(folder))
        into = kept(sample, trees.first)
        trees.compile()
        verdicts = Verdicts(into / "verdicts.json")
        for stage in stages(sample)[: options.stages]:
            left = [site for site in counted if not verdicts.caught(site)]
            todo = [site for site in left if options.only in str(site) and not verdicts.tried(site, stage)]
            if todo:
                tests = measured(trees, stage, left, into, options.jobs)
                _say(f"{stage.name}: {len(tests.files)} test files ({time.monotonic() - began:.0f} s)")
                for site, by in Bench(trees, tests).tried_on(todo, stage, options.jobs):
                    verdicts.note(site, stage, by)
                    why = by or f"{len(tests.running(site))} tests run it"
                    _say(f"{stage.name} {'caught' if by else 'SURVIVED':<8} {site} | {why}")
    todo = [site for site in counted if not verdicts.caught(site)]
    for site in todo:
        _say(f"SURVIVED {site}")
    caught = len(counted) - len(todo)
    _say(f"{caught} of {len(counted)} caught ({caught / len(counted):.0%}), {time.monotonic() - began:.0f} s")
    return 0 if caught >= 0.9 * len(counted) else 1


def _replace(path: Path, text: str) -> Callable[[], None]:
    """Replace a file's text; returns what puts it back. The time stamps keep compiled modules honest."""
    before, times = path.read_bytes(), path.stat()
    path.write_text(text)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**10))

    def undo() -> None:
        path.write_bytes(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

    return undo


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _key(site: Site) -> str:
    return f"{site.file}:{site.start}:{site.end}:{site.new}"


if __name__ == "__main__":
    sys.exit(main())
