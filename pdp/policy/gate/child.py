"""Runs in a process of its own: reads one job from standard input, writes one answer to standard output.

Parsing and evaluating foreign policy can loop, exhaust memory or kill the process; this one may be lost.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pdp.core.digest import Json
from pdp.core.policy import Bundle, Module
from pdp.policy.gate import contract, coverage, dynamic_check, elements, firing, naming, static
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.report import FileCoverage, Finding, Naming, TestResult
from pdp.ports import Pack

try:
    import resource
except ImportError:  # not a POSIX system: no limits but the time limit
    resource = None  # type: ignore[assignment]  # asked for before use

MEMORY = 2 << 30  # bytes of address space


def main() -> None:
    """Do the job on standard input."""
    _limit()
    job = json.load(sys.stdin)
    bundle = decode(job["bundle"])
    jobs = {"check": _check, "test": _test, "fired": _fired}
    json.dump(jobs[job["job"]](bundle, job), sys.stdout)


def decode(value: Mapping[str, Any]) -> Bundle:
    """The inverse of `Bundle.to_bytes`."""
    return Bundle(
        tuple(Module(m["path"], m["text"], m["shipped"]) for m in value["modules"]),
        value["org"].encode(),
        value["input_schema"].encode(),
        value["org_schema"].encode(),
        value["revision"],
        tuple(value["packs"]),
    )


def _limit() -> None:
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    units, findings = static.read(bundle)
    packs: list[Pack] = []
    names: list[Naming] = []
    if not any(f.severity == "error" for f in findings):  # half a policy would give findings that mislead
        policy = static.index(bundle, units, Path(job["capabilities"]))
        findings += static.check(policy, units)
        if not any(f.severity == "error" for f in findings):  # nothing is run that was refused
            findings += dynamic_check.check(bundle, policy, units)
            packs = [_pack(name, policy, json.loads(bundle.org)) for name in bundle.packs]
            names = list(naming.of(policy, json.loads(bundle.org)))
    return {
        "findings": [_finding(f) for f in sorted(set(findings))],
        "packs": [dataclasses.asdict(pack) for pack in packs],
        "naming": [dataclasses.asdict(found) for found in names],
    }


def _pack(name: str, policy: Policy, org: Json) -> Pack:
    pack = elements.pack(name, policy.groups[("packs", name), "meta"])
    package = ("packs", name)
    return dataclasses.replace(
        pack, seats=contract.seats(policy, package, org), requires=contract.requires(policy, package)
    )


def _test(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    units, findings = static.read(bundle)
    results: list[TestResult] = []
    reached: tuple[FileCoverage, ...] = ()
    if not findings and job["coverage"]:
        policy = static.index(bundle, units, Path(job["capabilities"]))
        found = coverage.run(bundle, policy, units, lambda name: (job["filter"] or "") in name, results.append)
        if isinstance(found, Finding):
            findings.append(found)
        else:
            reached = found
    elif not findings:
        fault = dynamic_check.run_all(bundle, units, lambda name: (job["filter"] or "") in name, results.append)
        findings += [fault] if fault else []
    return {
        "coverage": [dataclasses.asdict(file) for file in reached],
        "findings": [_finding(f) for f in sorted(set(findings))],
        "results": [{n: getattr(r, n) for n in TestResult.__slots__} for r in results],
    }


def _fired(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    return {"fired": firing.run(bundle, job["document"], job["codes"], Path(job["capabilities"]))}


def _finding(found: Finding) -> dict[str, Any]:
    return {name: getattr(found, name) for name in Finding.__slots__}


if __name__ == "__main__":
    main()
