"""The gate's child process: reads one job from standard input, writes one answer to standard
output.

Parsing and evaluating foreign policy can loop, exhaust memory or kill the process; this one may be
lost. The jobs are `check` (may a bundle become active), `test` (its tests, with their coverage) and
`fired` (the elements that a document produces, for explanations).
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdp.core.policy import Bundle
from pdp.policy.embedded.regorus_binding import RegorusEngine, new_engine
from pdp.policy.gate import dynamic_check, elements, inventory, parsing, static_check
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.report import FileCoverage, GateFinding, RuleNames, TestResult
from pdp.policy.gate.syntax import Unit
from pdp.ports import Pack

try:
    import resource
except ImportError:  # not a POSIX system: no limits but the time limit
    resource = None  # type: ignore[assignment]  # asked for before use

MEMORY = 2 << 30  # bytes of address space  # bytes of address space
RULES = ("allow", "hide", "deny", "require", "oblige")
# Where the gate names a check that did not pass, by the part of the document that holds it.
_NAMED = {"checks": 'check_code("checks"', "call_checks": 'check_code("call_checks"', "targets": "target_code(t)"}


def main() -> None:
    """Do the job on standard input."""
    _limit()
    job = json.load(sys.stdin)
    bundle = Bundle.of(job["bundle"])
    jobs = {"check": _check, "test": _test, "fired": _fired}
    json.dump(jobs[job["job"]](bundle, job), sys.stdout)


def _limit() -> None:
    if resource is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _check(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    units, findings = parsing.read(bundle)
    packs: list[Pack] = []
    names: list[RuleNames] = []
    if not any(f.severity == "error" for f in findings):  # half a policy would give findings that mislead
        policy = Policy.of(bundle, units, Path(job["capabilities"]))
        findings += static_check.check(policy, units)
        if not any(f.severity == "error" for f in findings):  # nothing is run that was refused
            findings += dynamic_check.check(bundle, policy, units)
            packs = [inventory.pack(name, policy, json.loads(bundle.org)) for name in bundle.packs]
            names = list(inventory.names_of(policy, json.loads(bundle.org)))
    return {
        "findings": [_finding(f) for f in sorted(set(findings))],
        "packs": [dataclasses.asdict(pack) for pack in packs],
        "naming": [dataclasses.asdict(rule_names) for rule_names in names],
    }


def _test(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    units, findings = parsing.read(bundle)
    results: list[TestResult] = []
    files: tuple[FileCoverage, ...] = ()

    def selected(name: str) -> bool:
        return (job["filter"] or "") in name

    if not findings and job["coverage"]:
        policy = Policy.of(bundle, units, Path(job["capabilities"]))
        coverage = dynamic_check.run_coverage(bundle, policy, units, selected, results.append)
        if isinstance(coverage, GateFinding):
            findings.append(coverage)
        else:
            files = coverage
    elif not findings:
        fault = dynamic_check.run_all(bundle, units, selected, results.append)
        findings += [fault] if fault else []
    return {
        "coverage": [dataclasses.asdict(file) for file in files],
        "findings": [_finding(f) for f in sorted(set(findings))],
        "results": [{n: getattr(r, n) for n in TestResult.__slots__} for r in results],
    }


def _finding(finding: GateFinding) -> dict[str, Any]:
    return {name: getattr(finding, name) for name in GateFinding.__slots__}


def _fired(bundle: Bundle, job: Mapping[str, Any]) -> dict[str, Any]:
    return {"fired": fired_elements(bundle, job["document"], job["codes"], Path(job["capabilities"]))}


def fired_elements(bundle: Bundle, document: str, codes: list[str], capabilities: Path) -> list[dict[str, Any]]:
    """Fired elements of the packs, then the gate's checks for `codes`, as JSON values of `ports.FiredElement`."""
    units, _ = parsing.read(bundle)
    policy = Policy.of(bundle, units, capabilities)
    engine = new_engine()
    for module in bundle.live:
        engine.add_policy(module.path, module.text)
    engine.add_data_json(json.dumps({"org": json.loads(bundle.org)}))
    engine.set_input_json(document)
    asked = json.loads(document)
    fired = [each for pack in bundle.packs for each in _fired_in_pack(engine, policy, pack, asked)]
    return [*fired, *(_gates(policy, code, asked) for code in codes)]


def _fired_in_pack(
    engine: RegorusEngine, policy: Policy, pack: str, asked: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    package = ("packs", pack)
    places = {(e.rule.name, e.code): e.rule for e in elements.pack_elements(policy, package)}
    keys = {target["key"] for target in asked["targets"]}
    for rule in RULES:
        if (package, rule) not in policy.groups or (rule == "allow" and not _grants(engine, pack, asked)):
            continue
        for element in _elements(engine, f"data.packs.{pack}.{rule}"):
            if rule in ("allow", "hide") and element.get("target") not in keys:
                continue
            code = str(element.get("code", ""))
            written = places.get((rule, code))
            file, line = (written.unit.module.path, written.place.line) if written else ("", 0)
            yield {"pack": pack, "rule": rule, "code": code, "file": file, "line": line, "element": element}


def _grants(engine: RegorusEngine, pack: str, asked: Mapping[str, Any]) -> bool:
    """Whether the pack's grants count for this server: it must be one of its `meta.servers`."""
    try:
        meta = json.loads(engine.eval_rule_as_json(f"data.packs.{pack}.meta"))
    except (RuntimeError, ValueError):
        return False
    return isinstance(meta, dict) and asked["server"]["id"] in meta.get("servers", ())


def _elements(engine: RegorusEngine, path: str) -> list[dict[str, Any]]:
    """The elements of one set; none where its evaluation fails, which the decision itself reports."""
    try:
        elements = json.loads(engine.eval_rule_as_json(path))
    except (RuntimeError, ValueError):
        return []
    return [element for element in elements if isinstance(element, dict)] if isinstance(elements, list) else []


def _gates(policy: Policy, code: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A check of the gate: the rule that names this code, or the rule for any check with it."""
    marks = [f'"{code}"']
    marks += [mark for part, mark in _NAMED.items() if code in _codes(asked[part])]
    units = [unit for unit in policy.units if unit.package == ("pdp",)]
    positions = ((unit.module.path, line) for mark in marks for unit in units for line in _lines(unit, mark))
    file, line = next(positions, ("", 0))
    return {"pack": "", "rule": "gate", "code": code, "file": file, "line": line, "element": {"code": code}}


def _codes(part: Any) -> set[str]:
    checks = part.values() if isinstance(part, dict) else part
    return {check["code"] for check in checks if check["status"] != "ok"}


def _lines(unit: Unit, mark: str) -> Iterator[int]:
    for rule in unit.rules:
        start = rule.place.line
        following = [r.place.line for r in unit.rules if r.place.line > start]
        end = min(following, default=unit.source.count(b"\n") + 2)
        text = "\n".join(unit.source.decode().splitlines()[start - 1 : end - 1])
        if mark in text and "reason(" in text:
            yield start


if __name__ == "__main__":
    main()
