"""The few tests with servers that `make test` runs: those of `essential.yaml`."""

from __future__ import annotations

import functools
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


def is_essential(item: pytest.Item) -> bool:
    """Whether an entry stands for this test."""
    name = f"{item.path.relative_to(TESTS).as_posix()}::{item.nodeid.partition('::')[2]}"
    return any(found.fullmatch(name) for found in _of_file(name.partition("::")[0]))


@functools.cache
def _of_file(file: str) -> tuple[re.Pattern[str], ...]:
    return tuple(pattern for entry, pattern in essential().items() if entry.partition("::")[0] == file)
