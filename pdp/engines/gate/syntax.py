"""The parsed policy as the gate reads it: units (files), rules, and nodes of the engine's own syntax tree.

A node is a dict with one key, its kind, as regorus prints it (`{"RefDot": {"span": ..., "refr": ..., ...}}`).
Whatever shape is not known here is refused (`syntax.unknown`), so a newer parser cannot slip something past.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pdp.core.policy import Module
from pdp.engines.gate.report import ERROR, Finding
from pdp.engines.regorus_binding import new_engine

Node: TypeAlias = Mapping[str, Any]
Body: TypeAlias = Mapping[str, Any]

EXPRESSIONS = frozenset(
    {"Var", "String", "RawString", "Number", "Bool", "Null", "Array", "Set", "Object", "Call", "RefDot", "RefBrack"}
    | {"ArrayCompr", "SetCompr", "ObjectCompr", "BinExpr", "BoolExpr", "ArithExpr", "AssignExpr", "Membership"}
    | {"UnaryExpr"}
)
LITERALS = frozenset({"SomeVars", "SomeIn", "Expr", "NotExpr", "Every"})
HEADS = frozenset({"Compr", "Set", "Func"})


class NotUnderstoodError(Exception):
    """A tree shape that the gate does not know."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: line and column from 1, byte offset from 0."""

    line: int
    column: int
    offset: int


@dataclass(frozen=True, slots=True)
class Query:
    """One body: its literals, and for `else` or a function's clause the value it gives (or None)."""

    literals: tuple[Body, ...]
    value: Node | None
    is_else: bool
    span: Body


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as written. `kind`: `set` (contains), `complete`, `function`, `map` (keys in the head), `default`."""

    unit: Unit
    name: str
    kind: str
    key: Node | None
    value: Node | None
    params: tuple[Node, ...]
    queries: tuple[Query, ...]
    span: Body
    plain: bool  # the head is one name, no dots or brackets
    extra: tuple[Node, ...] = ()  # head keys of a `map`

    @property
    def place(self) -> Place:
        return self.unit.place(self.span)


@dataclass(slots=True)
class Unit:
    """One parsed file."""

    module: Module
    package: tuple[str, ...]
    package_span: Body
    imports: dict[str, tuple[tuple[str, ...], Body]] = field(default_factory=dict)  # alias -> path
    rules: list[Rule] = field(default_factory=list)
    source: bytes = b""

    def place(self, span: Body) -> Place:
        """The place of a span (spans count bytes; the parser counts a tab as four columns, people do not)."""
        offset = int(span["start"])
        before = self.source[:offset]
        start = before.rfind(b"\n") + 1
        column = len(before[start:].decode(errors="replace")) + 1
        return Place(before.count(b"\n") + 1, column, offset)

    def text(self, span: Body) -> str:
        return self.source[int(span["start"]) : int(span["end"])].decode(errors="replace")

    def finding(self, span: Body, code: str, message: str, hint: str = "", severity: str = ERROR) -> Finding:
        place = self.place(span)
        return Finding(self.module.path, place.line, place.column, code, severity, message, hint)


def kind(node: Node) -> tuple[str, Body]:
    """Kind and body of an expression. Raises NotUnderstoodError."""
    if isinstance(node, dict) and len(node) == 1:
        [(name, body)] = node.items()
        if name in EXPRESSIONS and isinstance(body, dict):
            return name, body
    raise NotUnderstoodError


def literal(statement: Body) -> tuple[str, Body, list[Body]]:
    """Kind, body and `with` modifiers of a body's statement. Raises NotUnderstoodError."""
    if not set(statement) <= {"span", "literal", "with_mods", "sidx"}:
        raise NotUnderstoodError
    inner = statement["literal"]
    if isinstance(inner, dict) and len(inner) == 1:
        [(name, body)] = inner.items()
        if name in LITERALS:
            return name, body, list(statement.get("with_mods", []))
    raise NotUnderstoodError


def string(node: Node) -> str | None:
    """The text of a string literal, or None for anything else."""
    name, body = kind(node)
    return str(body["value"]) if name in ("String", "RawString") else None


def number(node: Node) -> float | None:
    """The value of a number literal, or None."""
    name, body = kind(node)
    return body["value"] if name == "Number" and isinstance(body["value"], int | float) else None


def span_of(node: Node) -> Body:
    """The span of an expression, from its first character (string literals begin at their quote)."""
    name, body = kind(node)
    span: Body = body["span"]
    if name in ("String", "RawString"):
        return {**span, "start": int(span["start"]) - 1, "end": int(span["end"]) + 1}
    return span


def children(node: Node) -> Iterator[Node]:
    """Direct sub-expressions, those inside nested queries left out (see `queries_in`)."""
    name, body = kind(node)
    if name in ("Array", "Set"):
        yield from body["items"]
    elif name == "Object":
        for _, key, value in body["fields"]:
            yield key
            yield value
    elif name == "Call":
        yield body["fcn"]
        yield from body["params"]
    elif name == "RefDot":
        yield body["refr"]
    elif name == "RefBrack":
        yield body["refr"]
        yield body["index"]
    elif name in ("BinExpr", "BoolExpr", "ArithExpr", "AssignExpr"):
        yield body["lhs"]
        yield body["rhs"]
    elif name == "Membership":
        if body["key"] is not None:
            yield body["key"]
        yield body["value"]
        yield body["collection"]
    elif name == "UnaryExpr":
        yield body["expr"]
    elif name in ("ArrayCompr", "SetCompr"):
        yield body["term"]
    elif name == "ObjectCompr":
        yield body["key"]
        yield body["value"]


def flatten(node: Node) -> tuple[Node, list[tuple[str | Node, Body]]]:
    """A reference as its base and steps; a step is a literal key or an index expression, with its span."""
    steps: list[tuple[str | Node, Body]] = []
    while True:
        name, body = kind(node)
        if name == "RefDot":
            steps.append((str(body["field"][1]), body["field"][0]))
            node = body["refr"]
        elif name == "RefBrack":
            text = string(body["index"])
            steps.append((body["index"] if text is None else text, span_of(body["index"])))
            node = body["refr"]
        else:
            return node, steps[::-1]


def dotted(node: Node) -> tuple[str, ...] | None:
    """`a.b["c"]` as names, or None when a step is not literal or the base no name."""
    base, steps = flatten(node)
    name, body = kind(base)
    if name != "Var" or not all(isinstance(step, str) for step, _ in steps):
        return None
    return (str(body["value"]), *(str(step) for step, _ in steps))


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
    for row in text.split("Stack backtrace")[0].splitlines():
        if row.startswith("--> "):
            parts = row.rsplit(":", 2)
            if len(parts) == 3 and parts[1].isdigit() and parts[2].strip().isdigit():
                line, column = int(parts[1]), int(parts[2])
        elif row.startswith("error:"):
            message = row.removeprefix("error:").strip()
    hint = "Rego v1: `name contains {...} if { ... }`; every body needs `if`."
    if "input cannot be shadowed" in message or "data cannot be shadowed" in message:
        hint = "Choose another name."
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
