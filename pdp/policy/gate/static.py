"""The static half of the load gate: the whole policy, parsed and walked, nothing run."""

from __future__ import annotations

import json
from pathlib import Path

from pdp.core.policy import Bundle
from pdp.policy.gate import contract, literals, packages, text
from pdp.policy.gate.analyses import Analyses
from pdp.policy.gate.builtins import Builtins
from pdp.policy.gate.parsing import parse
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.report import Finding
from pdp.policy.gate.syntax import Body, Node, Unit, dotted, kind, span_of, trees, walk


def read(bundle: Bundle) -> tuple[list[Unit], list[Finding]]:
    """Scan and parse every module, tests included; what cannot be parsed is among the findings."""
    units: list[Unit] = []
    findings: list[Finding] = []
    for module in bundle.modules:
        refused = text.scan(module)
        findings += refused
        if refused:
            continue
        unit = parse(module)
        if isinstance(unit, Finding):
            findings.append(unit)
        else:
            units.append(unit)
            findings += packages.check(unit)
    return units, findings


def index(bundle: Bundle, units: list[Unit], capabilities: Path) -> Policy:
    """The policy without its tests, ready to be walked."""
    return Policy(
        [unit for unit in units if not unit.module.is_test],
        json.loads(bundle.input_schema),
        json.loads(bundle.org_schema),
        Builtins.read(capabilities),
    )


def check(policy: Policy, units: list[Unit]) -> list[Finding]:
    """Every static finding about the policy."""
    analyses = Analyses(policy).all()
    findings = [finding for analysis in analyses.values() for finding in analysis.findings]
    findings += [*contract.recursion(policy, analyses), *contract.shadowing(policy), *contract.untyped(analyses)]
    findings += literals.of_parameters(analyses)
    for package in sorted(p for p in policy.packages() if p[:1] == ("packs",)):
        findings += contract.check_pack(policy, package, analyses)
    for unit in units:
        if unit.module.is_test:
            own = {rule.name for other in units if other.package == unit.package for rule in other.rules}
            findings += _test_calls(policy, unit, own)
    return findings


def _test_calls(policy: Policy, unit: Unit, own: set[str]) -> list[Finding]:
    """Tests may do what they like with facts, but call nothing that engines differ on."""
    calls = (node for rule in unit.rules for node in walk(trees(rule)) if set(node) == {"Call"})
    return [found for call in calls for found in _test_call(policy, unit, call, own)]


def _test_call(policy: Policy, unit: Unit, node: Node, own: set[str]) -> list[Finding]:
    body: Body = kind(node)[1]
    names = dotted(body["fcn"])
    if names is None or names[0] in own or names[0] in unit.imports or names[0] in ("data", "print"):
        return []
    name = ".".join(names)
    if name in policy.builtins.declarations:
        return []
    return [policy.builtins.refuse(unit, name, span_of(body["fcn"]), sorted(own))]
