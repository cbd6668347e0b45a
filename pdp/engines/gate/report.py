"""What the load gate says: findings with a place and the right form, and test results."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from pdp.ports import Pack

ERROR = "error"  # the bundle cannot become active
WARNING = "warning"  # reported; the bundle may become active


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing wrong. `code` is stable and dotted; `hint` shows what to write instead. Lines and columns from 1."""

    path: str
    line: int
    column: int
    code: str
    severity: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What the gate found. Only a bundle whose report is `ok` may become active."""

    findings: tuple[Finding, ...] = ()
    packs: tuple[Pack, ...] = field(default=(), compare=False)  # of a bundle that passed

    @property
    def ok(self) -> bool:
        return all(f.severity != ERROR for f in self.findings)


@dataclass(frozen=True, slots=True)
class TestResult:
    """One `test_*` rule. `error` is the engine's message when evaluation failed, else empty."""

    __test__ = False  # not for pytest

    path: str
    line: int
    name: str  # for example `acme_test.test_limit`
    passed: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class ElementCoverage:
    """One element of a contract rule, and whether any of its pack's tests that ran brought it about."""

    code: str
    rule: str  # allow, deny, ...
    line: int
    reached: bool


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """What tests reached of one file. Lines from 1; those that hold nothing to evaluate are in neither list."""

    path: str
    shipped: bool
    covered: tuple[int, ...]
    missed: tuple[int, ...]
    elements: tuple[ElementCoverage, ...] = ()


@dataclass(frozen=True, slots=True)
class TestReport:
    """All test results. `ok` wants every test passed, and at least one; `faults` are what kept tests from running.
    `coverage` is empty unless it was asked for."""

    __test__ = False

    results: tuple[TestResult, ...] = ()
    faults: tuple[Finding, ...] = ()
    coverage: tuple[FileCoverage, ...] = ()

    @property
    def ok(self) -> bool:
        return bool(self.results) and not self.faults and all(r.passed for r in self.results)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or an empty string."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return close[0] if close else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest name, or `otherwise`."""
    found = nearest(name, known)
    return f"Did you mean `{found}`?" if found else otherwise
