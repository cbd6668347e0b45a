"""The dynamic half of the load gate: running tests on the embedded engine, and seeing what they bring about.

To see which elements a test produces, the literal `code` of every element is replaced, in the engine's copy of
the pack, by a call that notes the code and gives it back; it is evaluated exactly when the element comes about.
One more rule per contract rule notes that the set was looked at, so "did not fire" means it could have.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pdp.core.policy import Bundle
from pdp.engines.gate import contract
from pdp.engines.gate.elements import Element
from pdp.engines.gate.policy import Policy, is_pack
from pdp.engines.gate.report import ERROR, Finding, TestResult
from pdp.engines.gate.syntax import Rule, Unit
from pdp.engines.regorus_binding import new_engine

_NOTE = "pdp_gate.note"
_PROVEN = ("allow", "hide", "deny", "require")


@dataclass(slots=True)
class Trial:
    """An engine with the whole bundle, tests included, that notes what fires."""

    counting: bool = False  # lines, for coverage; slower
    notes: set[str] = field(default_factory=set)
    engine: Any = None

    def start(self, bundle: Bundle, texts: dict[str, str]) -> Finding | None:
        """As `load`; a bundle that does not load is a finding."""
        try:
            self.load(bundle, texts)
        except RuntimeError as error:
            message = f"The engine does not load it: {_engine_message(str(error))}."
            return Finding("", 0, 0, "engine.load", ERROR, message)
        return None

    def load(self, bundle: Bundle, texts: dict[str, str]) -> None:
        """Load every module, with `texts` in place of those that were rewritten. Raises RuntimeError."""
        self.engine = new_engine()
        self.engine.set_enable_coverage(self.counting)
        self.engine.add_extension(_NOTE, 1, self._note)
        for module in bundle.modules:
            self.engine.add_policy(module.path, texts.get(module.path, module.text))
        self.engine.add_data_json(json.dumps({"org": json.loads(bundle.org)}))

    def _note(self, what: str) -> str:
        self.notes.add(what)
        return what.rpartition("\n")[2]

    def run(self, unit: Unit, rule: Rule) -> tuple[TestResult, frozenset[str]]:
        """Run one test; true is a pass, anything else is not."""
        self.notes.clear()
        path = ".".join((*unit.package, rule.name))
        passed, error = False, ""
        try:
            passed = self.engine.eval_rule_as_json(f"data.{path}").strip() == "true"
        except RuntimeError as failure:
            error = _engine_message(str(failure))
        result = TestResult(unit.module.path, rule.place.line, path, passed, error)
        return result, frozenset(self.notes)


def tests_of(units: list[Unit]) -> list[tuple[Unit, Rule]]:
    """Every test: rules named `test_*` in test modules, once by name."""
    found: dict[tuple[tuple[str, ...], str], tuple[Unit, Rule]] = {}
    for unit in units:
        for rule in unit.rules if unit.module.is_test else ():
            if rule.name.startswith("test_"):
                found.setdefault((unit.package, rule.name), (unit, rule))
    return list(found.values())


def run_all(
    bundle: Bundle, units: list[Unit], wanted: Callable[[str], bool], report: Callable[[TestResult], None]
) -> Finding | None:
    """Run the tests whose name is wanted. Returns a finding if the bundle does not even load."""
    trial = Trial()
    fault = trial.start(bundle, {})
    if fault is not None:
        return fault
    for unit, rule in tests_of(units):
        if wanted(".".join((*unit.package, rule.name))):
            report(trial.run(unit, rule)[0])
    return None


def check(bundle: Bundle, policy: Policy, units: list[Unit]) -> list[Finding]:
    """Every element of every pack must come about in one of the pack's own tests, and not in another."""
    elements = pack_elements(policy)
    trial = Trial()
    fault = trial.start(bundle, rewritten(policy, elements))
    if fault is not None:
        return [fault]
    findings: list[Finding] = []
    fired: dict[str, set[str]] = defaultdict(set)  # package -> notes, over its own tests
    absent: dict[str, set[str]] = defaultdict(set)
    for unit, rule in tests_of(units):
        pack = unit.package[0].removesuffix("_test")
        if ("packs", pack) not in _packs(policy) or len(unit.package) != 1:
            continue
        result, notes = trial.run(unit, rule)
        if not result.passed:
            why = result.error or "It is not true."
            hint = "Run `pdp policy test` for all of them."
            message = f"The test `{rule.name}` fails: {why}"
            findings.append(unit.finding(rule.span, "test.failed", message, hint))
            continue
        fired[pack] |= notes
        absent[pack] |= {label(e) for e in elements if _seen(e) in notes} - notes
    for element in elements:
        pack = element.rule.unit.package[1]
        if element.rule.name in _PROVEN:
            findings += _proven(element, label(element) in fired[pack], label(element) in absent[pack])
    return findings


def pack_elements(policy: Policy) -> list[Element]:
    """Every element of every pack."""
    return [e for package in sorted(_packs(policy)) for e in contract.pack_elements(policy, package)]


def _packs(policy: Policy) -> set[tuple[str, ...]]:
    return {unit.package for unit in policy.units if is_pack(unit) and len(unit.package) == 2}


def label(element: Element) -> str:
    """How an element is noted when it comes about."""
    return f"{element.rule.unit.package[1]}.{element.rule.name}\n{element.code}"


def _seen(element: Element) -> str:
    return f"{element.rule.unit.package[1]}.{element.rule.name}\n"


def rewritten(policy: Policy, elements: list[Element]) -> dict[str, str]:
    """Texts, by path, in which elements are noted when they come about. Lines stay where they are."""
    edits: dict[str, list[tuple[int, int, bytes]]] = defaultdict(list)
    sources = {unit.module.path: unit.source for unit in policy.units}
    looked: dict[tuple[tuple[str, ...], str], Element] = {}
    for element in elements:
        span = element.code_span
        call = f"{_NOTE}({json.dumps(label(element))})".encode()
        edits[element.rule.unit.module.path].append((int(span["start"]), int(span["end"]), call))
        looked.setdefault((element.rule.unit.package, element.rule.name), element)
    tails: dict[str, bytes] = defaultdict(bytes)
    for (_, name), element in looked.items():
        note = f"{_NOTE}({json.dumps(_seen(element))})"
        tails[element.rule.unit.module.path] += f"\n{name} contains {{}} if {{ {note}; false }}".encode()
    texts = {}
    for path, changes in edits.items():
        source = sources[path]
        for start, end, call in sorted(changes, reverse=True):
            source = source[:start] + call + source[end:]
        texts[path] = (source + tails[path]).decode()
    return texts


def _proven(element: Element, fired: bool, absent: bool) -> list[Finding]:
    if fired and absent:
        return []
    rule, pack = element.rule, element.rule.unit.package[1]
    name = "".join(c if c.isalnum() else "_" for c in element.code)
    if fired:
        what, code = "no test of the pack looks at it without getting it", "test.never_absent"
        line = (
            f'test_no_{name} if not "{element.code}" in {{e.code | some e in {pack}.{rule.name}}} with input as fine'
        )
    else:
        what, code = "no test of the pack that passes produces it", "test.never_fires"
        line = f'test_{name} if "{element.code}" in {{e.code | some e in {pack}.{rule.name}}} with input as bad'
    given = "fine" if fired else "bad"
    example = (
        f"package {pack}_test\n\nimport data.lib.testing\nimport data.packs.{pack}\n\n"
        f"{given} := testing.call({{}})  # {'where it must not' if fired else 'bend it so that it must'} fire\n{line}"
    )
    message = f"`{element.code}` of `{rule.name}` is not tested: {what}."
    folder = rule.unit.module.path.rpartition("/")[0]
    hint = f"Write in {folder}/{pack}_test.rego:\n{example}"
    return [rule.unit.finding(element.code_span, code, message, hint)]


def _engine_message(text: str) -> str:
    """The engine's words without its drawing of the source."""
    rows = text.partition("\nStack backtrace")[0].splitlines()
    errors = [row.removeprefix("error:").strip() for row in rows if row.startswith("error:")]
    return (errors[0] if errors else "evaluation failed").rstrip(".")[:300]
