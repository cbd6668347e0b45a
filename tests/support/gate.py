"""The load gate with a memory that lasts a test run: what it says of a bundle is pure and takes two seconds.

Reports lie in the folder that `tests/conftest.py` makes for a run and names in the environment, so the worker
processes of a run share them. A report is known by the digests of the bundle and of the product's own source, so a
run on a changed copy (`tests/mutation`) that is started by a test finds none of the original's.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pdp
from pdp.core.policy import Bundle, Reads
from pdp.policy.bundle import shipped_rego
from pdp.policy.gate import check, inventory, parsing
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.reads import reads
from pdp.policy.gate.report import GateReport

FOLDER = "TEST_GATE_REPORTS"  # the environment variable; settings of the product begin with PDP_
OF_THE_MACHINE = {"gate.time", "gate.died"}  # says how busy the machine was, not what the bundle is


@functools.cache
def gate_once(bundle: Bundle) -> GateReport:
    """The gate's report on `bundle`, made once per run."""
    folder = os.environ.get(FOLDER)
    if folder is None:
        return check(bundle)
    path = Path(folder) / f"{_source_digest()}-{_bundle_digest(bundle)}"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another worker that wants the same report waits for it
        if path.exists():
            report: GateReport = pickle.loads(path.read_bytes())
            return report
        report = check(bundle)
        if not OF_THE_MACHINE & {finding.code for finding in report.findings}:
            path.write_bytes(pickle.dumps(report))
    return report


def with_listed(bundle: Bundle) -> Bundle:
    """A bundle with its `listed`, `together` and `results`, as after the gate, whether or not it would pass."""
    units, findings = parsing.read(bundle)
    assert not findings, findings
    policy = Policy.of(bundle, units, shipped_rego() / "capabilities.json")
    listed, together, results = inventory.of_phases(policy)
    return replace(bundle, listed=tuple(listed), together=together, results=tuple(results))


def reads_of(bundle: Bundle) -> Reads:
    """What its packs read, as the gate would say, whether or not they would pass."""
    units, findings = parsing.read(bundle)
    assert not findings, findings
    return reads(Policy.of(bundle, units, shipped_rego() / "capabilities.json"), json.loads(bundle.org))


def _bundle_digest(bundle: Bundle) -> str:
    """Of everything in it: `Bundle.digest` leaves out the tests, which the gate runs."""
    return hashlib.sha256(repr(bundle).encode()).hexdigest()


@functools.cache
def _source_digest() -> str:
    """Of the product's Python modules and of the built-in functions that the gate allows."""
    modules = sorted(Path(pdp.__file__).parent.rglob("*.py"))
    digest = hashlib.sha256()
    for path in (*modules, shipped_rego() / "capabilities.json"):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
