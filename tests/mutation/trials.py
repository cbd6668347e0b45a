"""A pytest plugin for `sample.py`: collects tests once, then tries them on one bug after the other.

Reads jobs from the file descriptor SAMPLE_JOBS, a JSON document a line: {"tests": [..], "file": .., "before": ..,
"after": .., "seconds": ..}; answers each at SAMPLE_ANSWERS with what fails first, or an empty text. A job runs in a
process of its own, a copy of the one that has collected. There the functions of the file get the code of the changed
text; whoever starts another process finds that text in the file.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

UNFIT = "the change needs a new process"


def codes(code: CodeType, seen: Counter[str]) -> Iterator[tuple[tuple[str, int], CodeType]]:
    """The code of every function, by its name and the number of its namesakes before it."""
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield (inner.co_qualname, seen[inner.co_qualname]), inner
            seen[inner.co_qualname] += 1
            yield from codes(inner, seen)


def plant(file: str, before: str, after: str) -> None:
    """Gives the functions of a loaded module the code of another text. ValueError where their variables differ, or
    where none of them is found."""
    gc.unfreeze()  # what collection set aside (tests/conftest.py) is not among the objects
    old = {
        (code.co_qualname, code.co_firstlineno): key for key, code in codes(compile(before, file, "exec"), Counter())
    }
    new = dict(codes(compile(after, file, "exec"), Counter()))
    planted = False
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename.endswith(f"/{file}"):
            key = old.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if key in new:
                function.__code__ = new[key]
                planted = True
    loaded = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
    if not planted and any(path.endswith(f"/{file}") for path in loaded):
        raise ValueError(file)


class Trials:
    """Runs the jobs in place of the tests."""

    def __init__(self, jobs: int, answers: int) -> None:
        os.set_inheritable(jobs, False)
        os.set_inheritable(answers, False)
        self._jobs, self._answers = os.fdopen(jobs), os.fdopen(answers, "w")
        self._failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure."""
        if report.failed and not self._failed:
            self._failed = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All jobs, until there are no more."""
        items = {item.nodeid: item for item in session.items}
        self._answer("ready")  # all modules are loaded as they are
        for line in self._jobs:
            self._answer(self._tried(session, items, json.loads(line)))
        return True

    def _answer(self, text: str) -> None:
        self._answers.write(json.dumps(text) + "\n")
        self._answers.flush()

    def _tried(self, session: pytest.Session, items: Mapping[str, pytest.Item], job: Mapping[str, Any]) -> str:
        folder = Path(tempfile.mkdtemp(prefix="pdp-trial-"))
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setsid()
                session.config._tmp_path_factory._basetemp = folder / "tmp"  # type: ignore[attr-defined]
                (folder / "tmp").mkdir()
                (folder / "answer").write_text(self._run([items[name] for name in job["tests"]], job))
                status = 0
            except BaseException as error:
                (folder / "answer").write_text(f"the run breaks: {error!r:.300}")
                status = 0
            finally:
                os._exit(status)
        try:
            return self._awaited(child, folder / "answer", time.monotonic() + job["seconds"])
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # what it has started
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, items: list[pytest.Item], job: Mapping[str, Any]) -> str:
        if job["file"].endswith(".py"):  # other files are read by whoever needs them
            try:
                plant(job["file"], job["before"], job["after"])
            except ValueError:
                return UNFIT
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if self._failed:
                break
        return self._failed

    def _awaited(self, child: int, answer: Path, deadline: float) -> str:
        while time.monotonic() < deadline:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return answer.read_text() if answer.exists() else f"the run dies: {status}"
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "it does not end"


def pytest_configure(config: pytest.Config) -> None:
    """Jobs instead of tests."""
    if "SAMPLE_JOBS" in os.environ:
        fds = int(os.environ.pop("SAMPLE_JOBS")), int(os.environ.pop("SAMPLE_ANSWERS"))
        config.pluginmanager.register(Trials(*fds))
