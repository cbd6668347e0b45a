"""Plants a sample of small bugs where chance has it, and sees whether the tests that run those lines notice.

    python tests/mutation/sample.py [--sites 100] [--seed N] [--jobs N] [--tests PATH]... [--all]

First every test file runs once, in a copy of the tree, to learn which lines of pdp/ it runs; that is kept in
var/mutation until the code changes. Then each bug is planted in a copy, and the files that run its line are tried,
the fastest first. What no file notices survives, unless `equivalent.yaml` says why nothing can notice it.

By default only tests count that start no server; `--all` takes the others too (much longer).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import yaml
from run import HERE, ROOT, Tree, Trees, _replace, _say
from sites import Site, sites

AREAS = ("core", "service", "adapters", "store", "judge", "policy")
TESTS = ("tests/unit", "tests/properties", "tests/contract", "tests/system")
EQUIVALENT = HERE / "equivalent.yaml"
KEPT = ROOT / "var" / "mutation" / "coverage.json"
MOST_FILES = 12  # that are tried on one bug
SECONDS = 300  # for all of them; what hangs is noticed as well
PYTEST = ("-m", "pytest", "-x", "-q", "--no-header", "-p", "no:randomly", "-p", "no:cacheprovider")

Measured = Mapping[str, Any]  # as coverage_by_file.py writes it


def chosen(count: int, seed: int) -> list[Site]:
    """As many sites of each area, in the order of the areas."""
    chance = random.Random(seed)
    found: list[Site] = []
    for number, area in enumerate(AREAS):
        modules = sorted((ROOT / "pdp" / area).rglob("*.py"))
        every = [site for module in modules for site in sites(ROOT, str(module.relative_to(ROOT)))]
        found += chance.sample(every, count // len(AREAS) + (number < count % len(AREAS)))
    return found


def measured(folder: Path, tests: Sequence[str], jobs: int, *, everything: bool) -> Measured:
    """What each test file runs. Of files that fail in a copy of the tree, nothing."""
    digest = _digest(tests, everything=everything)
    if KEPT.exists() and (kept := json.loads(KEPT.read_text()))["digest"] == digest:
        files: dict[str, Any] = kept["files"]
        return files
    tree = Tree(folder / "measured")
    paths = sorted(str(path.relative_to(tree.folder)) for each in tests for path in _test_files(tree.folder / each))
    with ThreadPoolExecutor(jobs) as pool:
        parts = list(
            pool.map(
                lambda n: _measure(tree, paths[n::jobs], folder / f"part-{n}", everything=everything), range(jobs)
            )
        )
    files = {file: entry for part in parts for file, entry in part.items() if entry["lines"]}
    for file in sorted(file for file, entry in files.items() if entry.pop("failed")):
        _say(f"left out, since it fails in a copy of the tree: {file}")
        del files[file]
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps({"digest": digest, "files": files}))
    return files


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("test_*.py"))


def _digest(tests: Sequence[str], *, everything: bool) -> str:
    """Of the code and of what is asked for."""
    found = hashlib.sha256(json.dumps([list(tests), everything]).encode())
    for part in ("pdp", "tests"):
        for path in sorted((ROOT / part).rglob("*.py")):
            if path.parent != HERE:
                found.update(path.read_bytes())
    return found.hexdigest()


def _measure(tree: Tree, paths: Sequence[str], into: Path, *, everything: bool) -> Measured:
    arguments = [*(each for each in PYTEST if each != "-x"), "-p", "coverage_by_file"]
    arguments += [*_marker(everything=everything), *paths]
    _, said = _run(tree, arguments, seconds=3600, SAMPLE_COVERAGE=str(into))
    if not into.exists():
        raise SystemExit(f"the tests cannot be measured:\n{said[-2000:]}")
    found: dict[str, Any] = json.loads(into.read_text())
    return found


def _marker(*, everything: bool) -> Sequence[str]:
    return () if everything else ("-m", "not starts_server")


def _run(tree: Tree, arguments: Sequence[str], *, seconds: float, **more: str) -> tuple[int, str]:
    """Exit code and output; 1 when it does not end."""
    environment = {**os.environ, "PYTHONPATH": f"{tree.folder}{os.pathsep}{HERE}", "PYTHONDONTWRITEBYTECODE": "1"}
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=tree.folder,
        env={**environment, **more},
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
        return 1, "it does not end"
    return process.returncode, said


def tests_of(site: Site, files: Measured) -> list[str]:
    """The files that run a line of it, the fastest first."""
    lines = set(range(site.line, site.last + 1))
    found = [file for file, entry in files.items() if lines & set(entry["lines"].get(site.file, ()))]
    return sorted(found, key=lambda file: files[file]["seconds"])[:MOST_FILES]


def caught_by(trees: Trees, site: Site, files: Measured, *, everything: bool) -> str:
    """What noticed the bug, or "" ."""
    tests = tests_of(site, files)
    if not tests:
        return ""
    tree = trees.tree()
    path = tree.folder / site.file
    undo = _replace(path, site.applied(path.read_bytes()).decode())
    try:
        code, said = _run(tree, [*PYTEST, *_marker(everything=everything), *tests], seconds=SECONDS)
    finally:
        undo()
    lines = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))] or said.splitlines()[-1:]
    return lines[0][:120] if code not in (0, 5) else ""


def reason_of(site: Site, text: str) -> str:
    """Why nothing can notice it, if `equivalent.yaml` says so of this line."""
    line = text.splitlines()[site.line - 1].strip()
    for each in yaml.safe_load(EQUIVALENT.read_text()) or ():
        if (each["file"], each["kind"], each["old"], each["line"]) == (site.file, site.kind, site.old, line):
            return str(each["why"])
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Fails when less than nine in ten are noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--seed", type=int, default=20261120)
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tests", action="append", metavar="PATH")
    parser.add_argument("--all", action="store_true")
    options = parser.parse_args(arguments)
    began, verdicts = time.monotonic(), defaultdict[str, list[Site]](list)
    with tempfile.TemporaryDirectory(prefix="pdp-sample-") as folder:
        files = measured(Path(folder), options.tests or TESTS, options.jobs, everything=options.all)
        _say(f"{len(files)} test files measured ({time.monotonic() - began:.0f} s)")
        trees, todo = Trees(Path(folder)), chosen(options.sites, options.seed)
        trees.compile()
        with ThreadPoolExecutor(options.jobs) as pool:
            jobs = {pool.submit(caught_by, trees, site, files, everything=options.all): site for site in todo}
            for number, job in enumerate(as_completed(jobs), 1):
                site, by = jobs[job], job.result()
                why = "" if by else reason_of(site, (ROOT / site.file).read_text())
                verdict = "caught" if by else "equivalent" if why else "SURVIVED"
                verdicts[verdict].append(site)
                untested = "" if tests_of(site, files) else "no test runs it"
                _say(f"{number:>3}/{len(todo)} {verdict:<10} {site} | {by or why or untested}")
    counted = len(todo) - len(verdicts["equivalent"])
    share = len(verdicts["caught"]) / max(1, counted)
    _say(f"{len(verdicts['caught'])} of {counted} caught ({share:.0%}), {time.monotonic() - began:.0f} s")
    return 0 if share >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
