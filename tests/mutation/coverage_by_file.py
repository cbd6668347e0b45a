"""A pytest plugin for `sample.py`: which lines of pdp/ each test file runs, and for how long it takes.

Writes to the file that SAMPLE_COVERAGE names: {test file: {"seconds": .., "failed": bool, "lines": {module: [..]}}}.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import coverage
import pytest


class Recorder:
    """Measures while tests run; a context is a test file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: dict[str, dict[str, Any]] = defaultdict(lambda: {"seconds": 0.0, "failed": False, "lines": {}})
        self._coverage = coverage.Coverage(data_file=None, source=[str(Path.cwd() / "pdp")], config_file=False)
        self._coverage.start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """One test, in the context of its file."""
        file = item.nodeid.partition("::")[0]
        self._coverage.switch_context(file)
        began = time.monotonic()
        result = yield
        self._files[file]["seconds"] += time.monotonic() - began
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What fails without a mutant says nothing about mutants."""
        self._files[report.nodeid.partition("::")[0]]["failed"] |= report.failed

    def pytest_sessionfinish(self) -> None:
        """Write what was measured."""
        self._coverage.stop()
        data = self._coverage.get_data()
        root = Path.cwd()
        for file, entry in self._files.items():
            data.set_query_context(file)
            lines = {path: data.lines(path) for path in data.measured_files()}
            entry["lines"] = {str(Path(path).relative_to(root)): found for path, found in lines.items() if found}
        self._path.write_text(json.dumps(self._files))


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Begin before anything imports what is measured."""
    early_config.pluginmanager.register(Recorder(Path(os.environ["SAMPLE_COVERAGE"])))
