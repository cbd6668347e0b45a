"""Which elements a document brings about, and where their rules stand: for explanations, after the fact.

Runs in the child process of the gate. Each contract rule is asked for directly, on the embedded engine.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pdp.core.policy import Bundle
from pdp.policy.embedded.regorus_binding import RegorusEngine, new_engine
from pdp.policy.gate import contract, static
from pdp.policy.gate.policy import Policy
from pdp.policy.gate.syntax import Unit

RULES = ("allow", "hide", "deny", "require", "oblige")
# Where the gate names a check that did not pass, by the part of the document that holds it.
_NAMED = {"checks": 'check_code("checks"', "call_checks": 'check_code("call_checks"', "targets": "target_code(t)"}


def run(bundle: Bundle, document: str, codes: list[str], capabilities: Path) -> list[dict[str, Any]]:
    """Fired elements of the packs, then the gate's checks for `codes`, as JSON values of `ports.FiredElement`."""
    units, _ = static.read(bundle)
    policy = static.index(bundle, units, capabilities)
    engine = new_engine()
    for module in bundle.live:
        engine.add_policy(module.path, module.text)
    engine.add_data_json(json.dumps({"org": json.loads(bundle.org)}))
    engine.set_input_json(document)
    asked = json.loads(document)
    fired = [each for pack in bundle.packs for each in _pack(engine, policy, pack, asked)]
    return [*fired, *(_gates(policy, code, asked) for code in codes)]


def _pack(engine: RegorusEngine, policy: Policy, pack: str, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    package = ("packs", pack)
    places = {(e.rule.name, e.code): e.rule for e in contract.pack_elements(policy, package)}
    keys = {target["key"] for target in asked["targets"]}
    for rule in RULES:
        if (package, rule) not in policy.groups or (rule == "allow" and not _grants(engine, pack, asked)):
            continue
        for element in _elements(engine, f"data.packs.{pack}.{rule}"):
            if rule in ("allow", "hide") and element.get("target") not in keys:
                continue
            code = str(element.get("code", ""))
            found = places.get((rule, code))
            file, line = (found.unit.module.path, found.place.line) if found else ("", 0)
            yield {"pack": pack, "rule": rule, "code": code, "file": file, "line": line, "element": element}


def _grants(engine: RegorusEngine, pack: str, asked: Mapping[str, Any]) -> bool:
    """What a pack allows counts only on the servers that it names."""
    try:
        meta = json.loads(engine.eval_rule_as_json(f"data.packs.{pack}.meta"))
    except (RuntimeError, ValueError):
        return False
    return isinstance(meta, dict) and asked["server"]["id"] in meta.get("servers", ())


def _elements(engine: RegorusEngine, path: str) -> list[dict[str, Any]]:
    """The elements of one set; none where its evaluation fails, which the decision itself reports."""
    try:
        found = json.loads(engine.eval_rule_as_json(path))
    except (RuntimeError, ValueError):
        return []
    return [element for element in found if isinstance(element, dict)] if isinstance(found, list) else []


def _gates(policy: Policy, code: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A check of the gate: the rule that names this code, or that names whatever check has it."""
    marks = [f'"{code}"']
    marks += [mark for part, mark in _NAMED.items() if code in _codes(asked[part])]
    units = [unit for unit in policy.units if unit.package == ("pdp",)]
    found = ((unit.module.path, line) for mark in marks for unit in units for line in _lines(unit, mark))
    file, line = next(found, ("", 0))
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
