"""A pytest plugin for `sample.py`: the lines that each test runs, or a run of chosen tests in a chosen order.

Measuring (SAMPLE_COVERAGE names a file, SAMPLE_MODULES the modules, as JSON): writes coverage data whose contexts are
tests, and beside it, as JSON, {"tests": {test: {"seconds": .., "passed": bool}}, "opened": {context: [Rego file]}}.
Lines of a fixture that several tests share belong to all tests of the file: its context is the file's name with `::`.

Choosing (SAMPLE_TESTS names a JSON list of tests): the rest is left out. SAMPLE_FAILED gets the first that fails.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest


class Recorder:
    """Measures while tests run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._test = self._context = ""
        self._tests: dict[str, dict[str, Any]] = {}
        self._opened = defaultdict[str, set[str]](set)
        self._coverage = coverage.Coverage(
            data_file=str(path),
            include=[str(Path.cwd() / module) for module in json.loads(os.environ["SAMPLE_MODULES"])],
            config_file=False,
            concurrency=["thread", "greenlet"],  # the PostgreSQL store
        )
        self._coverage.set_option("run:relative_files", True)
        self._coverage.set_option("run:disable_warnings", ["no-data-collected"])  # of modules without a test
        self._coverage.start()
        sys.addaudithook(self._heard)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and str(arguments[0]).endswith(".rego") and self._context:
            path = Path(arguments[0])
            if path.is_relative_to(Path.cwd()):
                self._opened[self._context].add(path.relative_to(Path.cwd()).as_posix())

    def _switch(self, context: str) -> None:
        self._context = context
        self._coverage.switch_context(context)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test, in its context."""
        self._test = item.nodeid
        self._tests[item.nodeid] = {"seconds": 0.0, "passed": True}
        self._switch(item.nodeid)
        began = time.monotonic()
        result = yield
        self._tests[item.nodeid]["seconds"] = time.monotonic() - began
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        """A fixture; only the first test that asks for a shared one sets it up."""
        shared = fixturedef.scope != "function"
        if shared:
            self._switch(f"{self._test.partition('::')[0]}::")
        result = yield
        if shared:
            self._switch(self._test)
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What fails or is left out without a mutant says nothing about mutants."""
        self._tests[report.nodeid]["passed"] &= report.passed

    def pytest_sessionfinish(self) -> None:
        """Write what was measured; the times last, since they say that all is there."""
        self._coverage.stop()
        self._coverage.save()
        opened = {context: sorted(files) for context, files in self._opened.items()}
        self._path.with_suffix(".json").write_text(json.dumps({"tests": self._tests, "opened": opened}))


class Chosen:
    """Runs some tests only."""

    def __init__(self, tests: Path, failed: Path) -> None:
        self._order = {test: number for number, test in enumerate(json.loads(tests.read_text()))}
        self._failed = failed

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> Iterator[None]:
        """After every other order."""
        result = yield
        items[:] = sorted((i for i in items if i.nodeid in self._order), key=lambda i: self._order[i.nodeid])
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure."""
        if report.failed and not self._failed.exists():
            self._failed.write_text(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before anything imports what is measured."""
    if into := os.environ.get("SAMPLE_COVERAGE"):
        early_config.pluginmanager.register(Recorder(Path(into)))
    if tests := os.environ.get("SAMPLE_TESTS"):
        early_config.pluginmanager.register(Chosen(Path(tests), Path(os.environ["SAMPLE_FAILED"])))
