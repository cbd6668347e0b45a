"""`pdp policy test --suggest`: tests that a folder of policy lacks, made from proofs over all calls.

Exit codes: 0 printed, written, or nothing to suggest, 10 tests fail or cannot be run, 2 usage, 1 fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pdp.cli.policy_prove import need_prover, pack_of
from pdp.core.errors import BundleFault
from pdp.core.outcome.policy import Bundle
from pdp.people.console.wording import counted
from pdp.policy.bundle import read_bundle
from pdp.policy.gate import process
from pdp.policy.gate.report import TestReport
from pdp.tools.authoring.check import fault_finding
from pdp.tools.authoring.test import TestRun

if TYPE_CHECKING:
    from pdp.tools.prove.suggest import Suggestion, Suggestions

_SECONDS = 120.0  # of processor time
_WRITE = "--write"


def suggest(shipped: Path, organisation: Path, file: Path | None) -> TestRun | None:
    """Print the tests that are missing, or write those of a pack into a file of it; where tests fail, or the
    load gate refuses the rules, that is returned instead."""
    need_prover()
    pack = pack_of(file, _WRITE) if file is not None else ""
    if file is not None and file.resolve().parents[2] != organisation.resolve():
        raise click.UsageError(f"{_WRITE}: is no file of {organisation.name}.")
    try:
        bundle = read_bundle(shipped, organisation)
    except BundleFault as fault:
        return TestRun(None, TestReport(faults=(fault_finding(fault),)))
    report = process.run_tests(_without_ours(bundle), documents=True)
    if report.faults or not all(result.passed for result in report.results):
        return TestRun(bundle, report)

    from pdp.tools.prove.proof import Limits  # noqa: PLC0415  # an extra
    from pdp.tools.prove.suggest import suggest as suggested  # noqa: PLC0415

    found = suggested(bundle, report, Limits(seconds=_SECONDS))
    if found.refused:
        return TestRun(bundle, TestReport(faults=found.refused))
    _print(found, file, pack)
    return None


def _print(found: Suggestions, file: Path | None, pack: str) -> None:
    from pdp.tools.prove.golden import file_of  # noqa: PLC0415  # an extra

    for each in found.gaps:
        click.echo(f"{each.place or 'policy'}: {each.why}", err=True)
    for name, tests in _by_pack(found.tests):
        if file is None:
            click.echo(f"# packs/{name}/suggested_test.rego\n{file_of(name, [each.text for each in tests])}")
        elif name == pack:
            _write(file, pack, tests)
    left = sum(each.rule.pack != pack for each in found.tests) if file is not None else 0
    click.echo(_summary(len(found.tests) - left, left, file), err=True)


def _without_ours(bundle: Bundle) -> Bundle:
    """Without the tests of what comes with pdp, which say nothing of the organisation's rules."""
    return replace(bundle, modules=tuple(m for m in bundle.modules if not (m.shipped and m.is_test)))


def _by_pack(tests: list[Suggestion]) -> Iterator[tuple[str, list[Suggestion]]]:
    for name in sorted({each.rule.pack for each in tests}):
        yield name, [each for each in tests if each.rule.pack == name]


def _write(file: Path, pack: str, tests: list[Suggestion]) -> None:
    """Add tests to a file, or begin it: nothing that stands there is touched."""
    from pdp.tools.prove.golden import file_of  # noqa: PLC0415  # an extra

    texts = [each.text for each in tests]
    there = file.exists()  # and of the package, or the policy could not have been loaded
    try:
        with file.open("a", encoding="utf-8") as end:
            end.write("\n".join(["", *texts]) if there else file_of(pack, texts))
    except OSError as error:
        raise click.UsageError(f"{_WRITE}: cannot be written ({error.strerror}).") from None


def _summary(number: int, left: int, file: Path | None) -> str:
    others = f"; {left} more of other packs" if left else ""
    if not number:
        return f"nothing to suggest{others}"
    return f"{counted(number, 'test')} {'suggested' if file is None else f'written to {file.name}'}{others}"
