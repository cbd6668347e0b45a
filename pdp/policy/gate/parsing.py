"""From text to units, by the engine's own parser; whatever shape is not known is refused."""

from __future__ import annotations

import json
import re
from typing import Any

from pdp.core.policy import Module
from pdp.policy.embedded.regorus_binding import new_engine
from pdp.policy.gate.report import ERROR, Finding
from pdp.policy.gate.syntax import (
    HEADS,
    Body,
    Node,
    NotUnderstoodError,
    Query,
    Rule,
    Unit,
    dotted,
    flatten,
    kind,
    span_of,
)

_PLACE = re.compile(r"--> .*:([0-9]+):([0-9]+)")


def parse(module: Module) -> Unit | Finding:
    """Parse one file (after `text.scan` found nothing). A parse error is a finding."""
    engine: Any = new_engine()
    try:
        engine.add_policy(module.path, module.text)
        [tree] = json.loads(engine.get_ast_as_json())
    except RuntimeError as error:
        return _syntax_error(module, str(error))
    try:
        return _unit(module, tree["ast"])
    except (NotUnderstoodError, KeyError, TypeError, ValueError, IndexError):
        message = "The gate does not know this syntax."
        return Finding(module.path, 1, 1, "syntax.unknown", ERROR, message, "Write it with plainer rules.")


def _syntax_error(module: Module, text: str) -> Finding:
    line, column, message = 1, 1, "cannot be parsed"
    for row in text.partition("\nStack backtrace")[0].splitlines():
        place = _PLACE.fullmatch(row)
        if place is not None:
            line, column = int(place[1]), int(place[2])
        elif row.startswith("error:"):
            message = row.removeprefix("error:").strip()
    hint = "Rego v1: `name contains {...} if { ... }`; every body needs `if`."
    if "input cannot be shadowed" in message or "data cannot be shadowed" in message:
        hint = "Choose another name."
    elif "keyword `import`" in message:
        hint = "Imports stand above all rules."
    elif "keyword `some`" in message:
        hint = "A comprehension begins with one name or value: [y | some x in xs; y := x.n * x.price]."
    return Finding(module.path, line, column, "syntax.error", ERROR, f"Not valid Rego: {message}.", hint)


def _unit(module: Module, tree: Body) -> Unit:
    if not set(tree) <= {
        "package",
        "imports",
        "rules",
        "rego_v1",
        "num_expressions",
        "num_statements",
        "num_queries",
    }:
        raise NotUnderstoodError
    package = dotted(tree["package"]["refr"])
    if package is None:
        raise NotUnderstoodError
    unit = Unit(module, package, tree["package"]["span"], source=module.text.encode())
    _repair(tree, unit.source)
    for found in tree["imports"]:
        path = dotted(found["refr"])
        if path is None:
            raise NotUnderstoodError
        alias = unit.text(found["as"]) if found.get("as") else path[-1]
        unit.imports[alias] = (path, found["span"])
    unit.rules = [_rule(unit, rule) for rule in tree["rules"]]
    return unit


def _repair(tree: object, source: bytes) -> None:
    """The parser lets an object with several keys begin at its last one; let it begin at its brace."""
    if isinstance(tree, dict):
        for name, inner in tree.items():
            _repair(inner, source)
            if name == "Object" and len(inner["fields"]) > 1:
                first = int(span_of(inner["fields"][0][1])["start"])
                inner["span"]["start"] = max(source.rfind(b"{", 0, first), 0)
    elif isinstance(tree, list):
        for inner in tree:
            _repair(inner, source)


def _rule(unit: Unit, rule: Body) -> Rule:
    [(form, body)] = rule.items()
    if form == "Default":
        name, plain, extra = _name(body["refr"])
        return Rule(unit, name, "default", None, body["value"], tuple(body["args"]), (), body["span"], plain, extra)
    if form != "Spec":
        raise NotUnderstoodError
    [(head_kind, head)] = body["head"].items()
    if head_kind not in HEADS:
        raise NotUnderstoodError
    name, plain, extra = _name(head["refr"])
    queries = tuple(_query(q) for q in body["bodies"])
    key = head["key"] if head_kind == "Set" else None
    value = head["assign"]["value"] if head.get("assign") else None
    params = tuple(head["args"]) if head_kind == "Func" else ()
    shape = {"Set": "set", "Func": "function", "Compr": "complete" if plain else "map"}[head_kind]
    return Rule(unit, name, shape, key, value, params, queries, body["span"], plain, extra)


def _name(node: Node) -> tuple[str, bool, tuple[Node, ...]]:
    base, steps = flatten(node)
    name, body = kind(base)
    if name != "Var":
        raise NotUnderstoodError
    return str(body["value"]), not steps, tuple(s for s, _ in steps if not isinstance(s, str))


def _query(body: Body) -> Query:
    if not set(body) <= {"span", "assign", "is_else", "query"}:
        raise NotUnderstoodError
    value = body["assign"]["value"] if body["assign"] else None
    return Query(tuple(body["query"]["stmts"]), value, bool(body["is_else"]), body["query"]["span"])
