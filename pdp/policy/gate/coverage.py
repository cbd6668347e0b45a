"""What tests reach: lines, by the engine's own count, and elements, by the trial's notes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from pdp.core.policy import Bundle
from pdp.policy.gate import dynamic_check
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.report import ElementCoverage, FileCoverage, Finding, TestResult
from pdp.policy.gate.syntax import Unit


def run(
    bundle: Bundle,
    policy: Policy,
    units: list[Unit],
    wanted: Callable[[str], bool],
    report: Callable[[TestResult], None],
) -> tuple[FileCoverage, ...] | Finding:
    """Run the tests whose name is wanted, and say what they reached of every file that is no test.

    A line counts when any test evaluated something on it; an element when one of its pack's own tests brought it
    about.
    """
    found = dynamic_check.pack_elements(policy)
    counting = dynamic_check.Trial(counting=True)
    fault = counting.start(bundle, dynamic_check.rewritten(policy, found))
    if fault is not None:
        return fault
    noted: set[str] = set()
    for unit, rule in dynamic_check.tests_of(units):
        if wanted(".".join((*unit.package, rule.name))):
            result, notes = counting.run(unit, rule)
            report(result)
            own = unit.package[0].removesuffix("_test") + "."
            noted |= {note for note in notes if note.startswith(own)}
    lines = {file["path"]: file for file in json.loads(counting.engine.get_coverage_report_as_json())["files"]}
    return tuple(
        FileCoverage(
            unit.module.path,
            unit.module.shipped,
            *_lines(lines.get(unit.module.path, {}), unit),
            tuple(
                ElementCoverage(e.code, e.rule.name, e.rule.place.line, dynamic_check.label(e) in noted)
                for e in sorted(found, key=lambda e: e.rule.place.line)
                if e.rule.unit is unit
            ),
        )
        for unit in sorted(policy.units, key=lambda u: (u.module.shipped, u.module.path))
    )


def _lines(counted: Mapping[str, list[int]], unit: Unit) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Covered and missed lines of the file itself, without what the trial appended to it. Of a file that nothing led
    to, the engine counts no line; then every rule and literal is missed."""
    last = unit.module.text.count("\n") + 1
    covered, missed = ([n for n in counted.get(key, []) if n <= last] for key in ("covered", "not_covered"))
    if not covered and not missed:
        literals = (literal["span"] for rule in unit.rules for query in rule.queries for literal in query.literals)
        missed = sorted({rule.place.line for rule in unit.rules} | {unit.place(span).line for span in literals})
    return tuple(covered), tuple(missed)
