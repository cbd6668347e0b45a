"""The rings of the tests, by what each takes and proves.

- `make quick`: no server, no sweep, and not `slow`: what one quiet run of `make durations` found to take long.
- `make test`: also what is slow, and of the tests with servers those of `essential.yaml`.
- `make nightly`: the others.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import yaml

TESTS = Path(__file__).parents[1]
MOST = 450


@functools.cache
def essential() -> Mapping[str, re.Pattern[str]]:
    """Each entry, and what it stands for."""
    groups: Mapping[str, Sequence[str]] = yaml.safe_load((TESTS / "essential.yaml").read_text())
    entries = [entry for group in groups.values() for entry in group]
    return {entry: re.compile(re.escape(entry).replace(r"\*", ".*")) for entry in entries}


@functools.cache
def slow() -> frozenset[str]:
    """File and function of each test without a server that takes long."""
    return frozenset(json.loads((TESTS / "durations.json").read_text())["slow"])


def is_slow(item: pytest.Item) -> bool:
    """Whether this test was found to take long."""
    file, _, name = item.nodeid.partition("::")
    return f"{file}::{name.partition('[')[0].rpartition('::')[2]}" in slow()


def is_essential(item: pytest.Item) -> bool:
    """Whether an entry stands for this test."""
    name = f"{item.path.relative_to(TESTS).as_posix()}::{item.nodeid.partition('::')[2]}"
    return any(found.fullmatch(name) for found in _of_file(name.partition("::")[0]))


@functools.cache
def _of_file(file: str) -> tuple[re.Pattern[str], ...]:
    return tuple(pattern for entry, pattern in essential().items() if entry.partition("::")[0] == file)
