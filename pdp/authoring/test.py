"""`pdp policy test` without its command line: run every Rego test, on the embedded engine or an OPA."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pdp.authoring import coverage
from pdp.authoring.check import fault_finding, finding_fact
from pdp.core.digest import Json
from pdp.core.errors import BundleFault
from pdp.core.policy import Bundle
from pdp.policy import gate
from pdp.policy.bundle import read_bundle
from pdp.policy.opa import trial


@dataclass(frozen=True, slots=True)
class Tested:
    """What the tests said. `bundle` is None when the folder cannot even be read as one."""

    bundle: Bundle | None
    report: gate.TestReport

    def facts(self) -> dict[str, Json]:
        """For machines: `{ok, revision, passed, failed, results: [{name, path, line, passed, error}], faults}`."""
        results = self.report.results
        return {
            "schema": "pdp.policy-test/1",
            "ok": self.report.ok,
            "revision": self.bundle.revision if self.bundle else None,
            "passed": sum(r.passed for r in results),
            "failed": sum(not r.passed for r in results),
            "results": [
                {"name": r.name, "path": r.path, "line": r.line, "passed": r.passed, "error": r.error}
                for r in results
            ],
            "faults": [finding_fact(f) for f in self.report.faults],
            "coverage": coverage.fact(self.report.coverage) if self.report.coverage else None,
        }


def run_folder(
    shipped: Path,
    organisation: Path | None,
    *,
    name_filter: str | None = None,
    coverage: bool = False,
    opa: Path | None = None,
) -> Tested:
    """Run the tests of the bundle made of two folders, those whose name contains `name_filter`; with `coverage`,
    say what they reach. With `opa` (the binary) what passes and fails is what that engine says.

    Raises EngineFault and ConfigurationFault for an OPA that cannot be had.
    """
    try:
        bundle = read_bundle(shipped, organisation)
    except BundleFault as fault:
        return Tested(None, gate.TestReport(faults=(fault_finding(fault),)))
    report = gate.run_tests(bundle, name_filter=name_filter, coverage=coverage)
    if opa is not None and not report.faults:
        report = trial.run_tests(bundle, opa, report)
    return Tested(bundle, report)
