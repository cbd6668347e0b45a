"""Places where `sample.py` can plant a bug: small changes of statements, found in the syntax tree of a module."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
BOUNDARY: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}
# says something to people; what it says is no promise of the code
WORDS = {"log", "logger", "debug", "info", "warning", "error", "exception"}


@dataclass(frozen=True, slots=True)
class Site:
    """`new` stands for the source from one offset to another (bytes) of a file. `line` and `last` are its lines."""

    file: str
    line: int
    last: int
    start: int
    end: int
    kind: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.kind}: {_short(self.old)} -> {_short(self.new)}"

    def applied(self, text: bytes) -> bytes:
        """The file with the bug in it."""
        return text[: self.start] + self.new.encode() + text[self.end :]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else f"{line[:87]}..."


def sites(root: Path, file: str) -> list[Site]:
    """Every place of a module, in functions only: what stands outside of them is declarations."""
    text = (root / file).read_bytes()
    offsets = [0]
    for line in text.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found = []
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for statement in _own(function.body):
            for kind, node, new in _changes(statement):
                start = offsets[node.lineno - 1] + node.col_offset
                end = offsets[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
                old = text[start:end].decode()
                last = node.end_lineno or node.lineno
                found.append(Site(file, node.lineno, last, start, end, kind, old, new))
    return sorted(set(found), key=lambda site: (site.start, site.end, site.kind, site.new))


def _own(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a function, without those of functions in it and without its docstring."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        yield statement
        for field in ("body", "orelse", "finalbody"):
            yield from _own(getattr(statement, field, []))
        for handler in getattr(statement, "handlers", []):
            yield from _own(handler.body)
        for case in getattr(statement, "cases", []):
            yield from _own(case.body)


def _changes(statement: ast.stmt) -> Iterator[tuple[str, Any, str]]:
    """(kind, what is replaced, by what)."""
    if kind := _left_out(statement):
        yield kind, statement, "pass"
    match statement:
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            yield "no value", value, "None"
        case ast.If() | ast.While():
            yield from _of_branch(statement)
        case ast.Try(handlers=handlers):
            yield from _of_handlers(handlers)
    for expression in _expressions(statement):
        yield from _of_expression(expression)
        if not isinstance(statement, ast.Raise):
            yield from _with_less(expression)


def _left_out(statement: ast.stmt) -> str:
    """What it is called to leave the statement out; "" where that is no bug of its own."""
    match statement:
        case ast.Raise():
            return "no raise"
        case ast.Expr(value=ast.Call() | ast.Await()) if not _talks(statement.value):
            return "no call"
        case ast.AugAssign() | ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return "no assignment"
    return ""


def _of_branch(branch: ast.If | ast.While) -> Iterator[tuple[str, Any, str]]:
    if isinstance(branch, ast.If):
        yield "never", branch.test, "False"
    guard = isinstance(branch.body[-1], (ast.Raise, ast.Return, ast.Continue, ast.Break)) and not branch.orelse
    if not guard:
        yield "negated", branch.test, f"not ({ast.unparse(branch.test)})"


def _of_handlers(handlers: Iterable[ast.ExceptHandler]) -> Iterator[tuple[str, Any, str]]:
    for handler in handlers:
        if isinstance(handler.type, ast.Tuple):
            yield from _fewer("no exception", handler.type, handler.type.elts)


def _expressions(statement: ast.stmt) -> Iterator[ast.AST]:
    """What a statement evaluates itself; statements in it come by themselves, and messages are no promise."""
    todo: list[ast.AST] = [
        child for child in ast.iter_child_nodes(statement) if not isinstance(child, (ast.stmt, ast.ExceptHandler))
    ]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.Lambda, ast.JoinedStr, ast.match_case)) or _talks(node):
            continue
        if isinstance(statement, ast.Raise) and isinstance(node, ast.Constant):
            continue
        if not isinstance(node, ast.Tuple) or isinstance(node.ctx, ast.Load):
            yield node
        annotation = getattr(node, "annotation", None)
        children = [child for child in ast.iter_child_nodes(node) if child is not annotation]
        if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):  # most are types
            children = [node.value, *node.slice.elts]
        todo += children


def _of_expression(node: ast.AST) -> Iterator[tuple[str, Any, str]]:
    match node:
        case ast.Compare(ops=[operator]):
            for kind, table in (("negated", OPPOSITE), ("off by one", BOUNDARY)):
                if other := table.get(type(operator)):
                    changed = ast.Compare(node.left, [other()], node.comparators)
                    yield kind, node, f"({ast.unparse(changed)})"
        case ast.BoolOp() | ast.BinOp(op=ast.Add() | ast.Sub()):
            yield from _of_operator(node)
        case ast.IfExp():
            for way in (node.body, node.orelse):
                yield "one way", node, f"({ast.unparse(way)})"
        case ast.Constant() | ast.Name():
            yield from _of_word(node)


def _of_operator(node: ast.BoolOp | ast.BinOp) -> Iterator[tuple[str, Any, str]]:
    if isinstance(node, ast.BoolOp):
        swapped = ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield "and/or", node, f"({ast.unparse(swapped)})"
    elif not isinstance(node.left, (ast.Constant, ast.JoinedStr)):
        other_op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        yield "arithmetic", node, f"({ast.unparse(ast.BinOp(node.left, other_op, node.right))})"


def _of_word(node: ast.Constant | ast.Name) -> Iterator[tuple[str, Any, str]]:
    match node:
        case ast.Name(id=name) if name in SWAPPED:
            yield "swapped", node, SWAPPED[name]
        case ast.Constant(value=bool() as value):
            yield "constant", node, str(not value)
        case ast.Constant(value=int() as value):
            yield "off by one", node, str(value + 1)


def _with_less(node: ast.AST) -> Iterator[tuple[str, Any, str]]:
    """Without one of its parts."""
    match node:
        case ast.BoolOp():
            yield from _fewer("no operand", node, node.values)
        case ast.Tuple() | ast.List() | ast.Set():
            yield from _fewer("no element", node, node.elts)
        case ast.Dict():
            yield from _fewer("no element", node, node.keys, node.values)
        case ast.Call():
            yield from _fewer("no argument", node, node.keywords)
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            for generator in node.generators:
                yield from _fewer("no filter", node, generator.ifs)


def _fewer(kind: str, node: ast.expr, *parts: list[Any]) -> Iterator[tuple[str, Any, str]]:
    """Once without each part; keys and values of a dictionary go together."""
    for number in range(len(parts[0])):
        taken = [each.pop(number) for each in parts]
        text = f"({ast.unparse(node)})"
        for each, part in zip(parts, taken, strict=True):
            each.insert(number, part)
        yield kind, node, text


def _talks(node: ast.AST) -> bool:
    """Whether it is a call that only logs."""
    function = getattr(node, "func", None)
    return isinstance(function, ast.Attribute) and (
        function.attr in WORDS and isinstance(function.value, ast.Name) and function.value.id in WORDS
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
