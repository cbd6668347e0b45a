"""Denials that hold for lists: those that rest on nothing which only a call has.

What such a denial says of a target it says of every call of it, so a list leaves the target out. Where it reads
targets it must say which one it is about; otherwise it is about all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pdp.policy.gate import elements
from pdp.policy.gate.elements import Element
from pdp.policy.gate.policy import Analysis, Policy, RuleKey, closure, extent
from pdp.policy.gate.report import GateFinding

_TARGETS = "input.targets"


@dataclass(frozen=True, slots=True)
class Denial:
    """One element of a `deny` that holds for lists, and whether it rests on targets."""

    element: Element
    reads_targets: bool


def denials(policy: Policy, analyses: Mapping[RuleKey, Analysis]) -> Iterator[Denial]:
    """Every such denial of every pack."""
    for key, rules in policy.groups.items():
        if key[0][:1] != ("packs",) or key[1] != "deny":
            continue
        for element in filter(None, (elements.of_rule(rule)[0] for rule in rules)):
            parts = list(_rests_on(element, key, analyses))
            reads = [read for part in parts for read in part.reads]
            if not any(part.unfollowed for part in parts) and all(read.phase == "tool" for read in reads):
                yield Denial(element, any(read.label.startswith(_TARGETS) for read in reads))


def _rests_on(element: Element, key: RuleKey, analyses: Mapping[RuleKey, Analysis]) -> Iterator[Analysis]:
    """The analysis of the definition that an element stands in, and those of all rules that it uses."""
    own = extent(element.rule).part_of(analyses[key])
    yield own
    used = {way for use in own.uses for way in closure(use.key, analyses)}
    yield from (analyses[other] for other in used if other in analyses)


def check(policy: Policy, analyses: Mapping[RuleKey, Analysis]) -> Iterator[GateFinding]:
    """One finding for each of them that reads targets and names none: a list would lose all its tools by one."""
    for denial in denials(policy, analyses):
        element = denial.element
        if denial.reads_targets and "target" not in element.fields:
            message = (
                f"`{element.code}` rests on nothing that only a call has, so lists follow it; but for which target?"
            )
            hint = 'Write: some t in input.targets, and "target": t.key in `deny`.'
            yield element.rule.unit.finding(element.code_span, "element.target", message, hint)
