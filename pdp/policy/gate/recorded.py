"""What a record keeps of an element: all of it but the message. So no field may hold what a caller sent.

Requirements and obligations enter the audit log as policy made them (DESIGN section 8: argument values enter as
salted commitments, never in clear). Their fields are therefore written out, or come from `data.org`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pdp.policy.gate.report import Finding
from pdp.policy.gate.syntax import Node, Rule, children, dotted, kind, literal, span_of

RECORDED = frozenset({"require", "oblige"})
_WRITTEN = frozenset({"String", "RawString", "Number", "Bool", "Null"})
_HOLDING = frozenset({"Object", "Array", "Set"})
_ORG = ("data", "org")
_HINT = (
    'Write the value out, or take it from `data.org`. To point at an argument, name it: "argument": "/to". '
    "What varies belongs into the message, which is told to the caller and not recorded for your packs."
)


def check(rule: Rule, fields: Mapping[str, Node]) -> Iterator[Finding]:
    """One finding for each field of a `require` or `oblige` that is computed."""
    if rule.name not in RECORDED:
        return
    fixed = _organisations(rule)
    for name, node in fields.items():
        if name != "message" and (computed := _computed(node, fixed)) is not None:
            message = f"`{name}` is computed, and the record would keep its value in clear."
            yield rule.unit.finding(span_of(computed), "element.value", message, _HINT)


def _computed(node: Node, fixed: frozenset[str]) -> Node | None:
    """The first part that is neither written out nor taken from the organisation's data."""
    name, _ = kind(node)
    if name in _WRITTEN:
        return None
    if name in _HOLDING:
        return next((found for part in children(node) if (found := _computed(part, fixed)) is not None), None)
    path = dotted(node)
    return None if path is not None and (_is_org(path) or path[0] in fixed) else node


def _is_org(path: tuple[str, ...]) -> bool:
    return path[:2] == _ORG and len(path) > len(_ORG)


def _organisations(rule: Rule) -> frozenset[str]:
    """Variables that run over a list of `data.org` (`some limit in data.org.limits`) and over nothing else."""
    found: set[str] = set()
    other: set[str] = set()
    for query in rule.queries:
        for statement in query.literals:
            name, body, _ = literal(statement)
            if name != "SomeIn":
                continue
            path = dotted(body["collection"])
            names = {str(kind(part)[1]["value"]) for part in (body["key"], body["value"]) if _is_name(part)}
            (found if path is not None and _is_org(path) else other).update(names)
    return frozenset(found - other)


def _is_name(node: Node | None) -> bool:
    return node is not None and kind(node)[0] == "Var"
