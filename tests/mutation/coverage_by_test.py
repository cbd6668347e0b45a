"""A pytest plugin for `sample.py`: the lines that each test runs, or a run of chosen tests in a chosen order.

Measuring (SAMPLE_MEASURED names a folder): writes a JSON document for each file of tests once it is through,
{"tests": {test: {"seconds": .., "passed": ..}}, "lines": {module: {context: lines}}, "opened": {file: [context]}}.
A context is a test. What a fixture runs that several tests share belongs to all tests of the file: its context is the
file's name with `::`. Lines are the bits of a number in base 16. The opened files are those that are no code.

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

ROOT = f"{Path.cwd()}{os.sep}"


class Recorder:
    """Measures while tests run, one file of tests after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._test = self._context = ""
        self._coverage = coverage.Coverage(
            data_file=None,
            source=[f"{ROOT}pdp"],
            config_file=False,
            concurrency=["thread", "greenlet"],  # the PostgreSQL store
        )
        self._coverage.set_option("run:disable_warnings", ["no-data-collected", "module-not-measured"])
        self._coverage.start()
        assert self._coverage._collector is not None
        # by file; its own contexts write all of this to a database at each switch, which takes as long as the tests
        self._running: Any = self._coverage._collector.data
        self._forget()
        sys.addaudithook(self._heard)

    def _forget(self) -> None:
        self._tests: dict[str, dict[str, Any]] = {}
        self._lines = defaultdict[str, dict[str, int]](dict)
        self._opened = defaultdict[str, set[str]](set)

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and self._context and str(arguments[0]).endswith(".rego"):
            self._opened[str(arguments[0]).removeprefix(ROOT)].add(self._context)

    def _switch(self, context: str) -> None:
        for file, lines in list(self._running.items()):
            if lines:
                by_context = self._lines[file.removeprefix(ROOT)]
                bits = sum(1 << line for line in tuple(lines))
                by_context[self._context] = by_context.get(self._context, 0) | bits
                lines.clear()
        self._context = context

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """One file after the other, whatever the order was: a file is written once."""
        session.items.sort(key=lambda item: item.nodeid.partition("::")[0])
        self._switch("")
        self._lines.clear()  # of imports and collection

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        """One test, in its context."""
        self._test = item.nodeid
        self._tests[item.nodeid] = {"seconds": 0.0, "passed": True}
        self._switch(item.nodeid)
        began = time.monotonic()
        result = yield
        self._tests[item.nodeid]["seconds"] = round(time.monotonic() - began, 3)
        self._switch("")
        file = item.nodeid.partition("::")[0]
        if nextitem is None or nextitem.nodeid.partition("::")[0] != file:
            self._write(file)
            self._forget()
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

    def _write(self, file: str) -> None:
        lines = {
            module: {context: f"{bits:x}" for context, bits in by_context.items()}
            for module, by_context in self._lines.items()
        }
        opened = {path: sorted(contexts) for path, contexts in self._opened.items()}
        path = self._folder / f"{file.replace('/', '.')}.json"
        path.with_suffix(".new").write_text(json.dumps({"tests": self._tests, "lines": lines, "opened": opened}))
        path.with_suffix(".new").replace(path)


class Chosen:
    """Runs some tests only."""

    def __init__(self, tests: Path, failed: Path) -> None:
        self._order = {test: number for number, test in enumerate(json.loads(tests.read_text()))}
        self._failed = failed

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """After every other order."""
        theirs = (item for item in session.items if item.nodeid in self._order)
        session.items[:] = sorted(theirs, key=lambda item: self._order[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the first failure."""
        if report.failed and not self._failed.exists():
            self._failed.write_text(report.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before anything imports what is measured."""
    if into := os.environ.get("SAMPLE_MEASURED"):
        early_config.pluginmanager.register(Recorder(Path(into)))
    if tests := os.environ.get("SAMPLE_TESTS"):
        early_config.pluginmanager.register(Chosen(Path(tests), Path(os.environ["SAMPLE_FAILED"])))
