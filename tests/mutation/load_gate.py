"""One check of the mutation run: reads the bundle, puts it through the load gate, runs the policy's own tests.

Runs in a mutated copy of the tree (its working directory); the exit code says whether all is well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pdp
from pdp.core.errors import BundleFault
from pdp.policy.bundle import read_bundle
from pdp.policy.gate import ERROR, check, run_tests


def main() -> str:
    """What is wrong, or an empty text."""
    tree = Path.cwd()
    if not Path(pdp.__file__).is_relative_to(tree):
        return "this is not the copy's code"
    try:
        bundle = read_bundle(tree / "rego", tree / "rego" / "examples" / "acme")
    except BundleFault as fault:
        return f"{fault.code} {fault.message}"
    for finding in check(bundle).findings:
        if finding.severity == ERROR:
            return f"{finding.code} at {finding.path}:{finding.line}"
    report = run_tests(bundle)
    failing = [r.name for r in report.results if not r.passed]
    return "" if report.ok else f"policy test {failing[0] if failing else 'does not run'}"


if __name__ == "__main__":
    sys.exit(main() or 0)
