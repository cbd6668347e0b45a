"""The analysis of every rule, each walked once."""

from __future__ import annotations

from collections.abc import Mapping

from pdp.policy.gate.flow import Flow
from pdp.policy.gate.policy import Analysis, Key, Policy, is_pack
from pdp.policy.gate.references import ASSERTED_HINT
from pdp.policy.gate.syntax import NotUnderstoodError
from pdp.policy.gate.value import Items, Value, any_of, choices, taint


class Analyses:
    """The analysis of every rule, each walked once; a cycle is cut here and refused elsewhere."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.done: dict[Key, Analysis] = {}

    def all(self) -> Mapping[Key, Analysis]:
        for key in self.policy.groups:
            self.get(key)
        return self.done

    def get(self, key: Key) -> Analysis:
        if key in self.done:
            return self.done[key]
        analysis = self.done[key] = Analysis()
        rules = self.policy.groups[key]
        values: list[Value] = []
        for rule in rules:
            flow = Flow(self.policy, rule.unit, analysis, self.get)
            try:
                values += flow.rule(rule)
            except (NotUnderstoodError, KeyError, TypeError, ValueError):
                message = "The gate does not know this syntax."
                found = rule.unit.finding(rule.span, "syntax.unknown", message, "Write it with plainer rules.")
                analysis.findings.append(found)
        tainted = any(read.trust == "asserted" for read in analysis.reads)
        tainted = tainted or any(self.done[u.key].value.tainted for u in analysis.uses if u.key in self.done)
        value = any_of(values)
        last = rules[-1]  # a default comes first and says nothing about the kind
        if last.kind == "set":
            value = Items(value, shape="set") if last.plain else Items(Items(value, shape="set"), shape="object")
        elif last.kind == "map":
            value = Items(value, shape="object")
        else:
            value = choices(value)
        analysis.value = taint(value, tainted)
        turned = [r for r in rules if r.kind == "default" or any(q.is_else for q in r.queries)]
        if tainted and turned and is_pack(rules[0].unit):
            message = "A rule on asserted facts has a default or an else, so leaving the fact out has an effect."
            analysis.findings.append(
                turned[0].unit.finding(turned[0].span, "asserted.negated", message, ASSERTED_HINT)
            )
        return analysis
