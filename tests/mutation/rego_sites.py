"""Places in Rego where `sample.py` can plant a bug, found in the syntax tree that the load gate reads.

What is left is formatted as it was: no check of style notices a bug.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from sites import Site

from pdp.core.outcome.policy import Module
from pdp.policy.gate.parsing import parse
from pdp.policy.gate.syntax import Unit, span_of, string

Change = tuple[str, int, int, str]  # kind, what is replaced from where to where, by what

OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
SWAPPED = {"min": "max", "max": "min", "startswith": "endswith", "union": "intersection", "intersection": "union"}
CONDITIONS = {"Var", "RefDot", "RefBrack", "Call", "Membership"}
QUOTES = (b'"', b"`")
# said to people; what it says is no promise
WORDS = {"message"}


def rego_sites(root: Path, file: str) -> list[Site]:
    """Every place of a module."""
    source = (root / file).read_bytes()
    unit = parse(Module(file, source.decode()))
    assert isinstance(unit, Unit), unit
    rules = _Rules(source)
    found = set[Site]()
    for rule in unit.rules:
        for kind, start, end, new in rules.changes(rule.key, rule.value, rule.extra, rule.queries):
            old = source[start:end].decode()
            begin = start + len(old) - len(old.lstrip(", \n\t"))  # what parts it from the one before may come first
            first, last = (source.count(b"\n", 0, offset) + 1 for offset in (begin, end))
            found.add(Site(file, first, last, start, end, kind, old, new))
    return sorted(found, key=lambda site: (site.start, site.end, site.kind, site.new))


class _Rules:
    """The changes of a module's rules, by its text: spans of the tree are of bytes."""

    def __init__(self, source: bytes) -> None:
        self._source = source

    def changes(self, *parts: Any) -> Iterator[Change]:
        """What can be changed in parts of the tree."""
        for part in parts:
            if isinstance(part, (list, tuple)):
                yield from self.changes(*part)
            elif isinstance(part, Mapping):
                yield from self._of_mapping(part)
            elif hasattr(part, "literals"):
                yield from self._of_statements(part.literals)
                yield from self.changes(part.literals, part.value)

    def _of_mapping(self, node: Mapping[str, Any]) -> Iterator[Change]:
        for name, body in node.items():
            if name == "stmts":
                yield from self._of_statements(body)
            elif isinstance(body, Mapping) and "span" in body:
                yield from self._of_node(name, body)
            if name == "Object":
                yield from self.changes(*(value for _, key, value in body["fields"] if string(key) not in WORDS))
            elif name == "Set":  # another text may be in it already, and without one it is tried anyhow
                yield from self.changes(*(item for item in body["items"] if "String" not in item))
            elif name not in ("span", "index") and not (name == "Call" and self._text(body).startswith("sprintf")):
                yield from self.changes(body)

    def _of_statements(self, statements: Sequence[Mapping[str, Any]]) -> Iterator[Change]:
        spans = [self._span(each["span"]) for each in statements]
        for number, statement in enumerate(statements):
            start = spans[number][0]
            [(form, body)] = statement["literal"].items()
            if form == "NotExpr":
                yield "no not", start, self._span(span_of(body["expr"]))[0], ""
            elif form == "Expr" and next(iter(body["expr"])) in CONDITIONS:
                yield "negated", start, start, "not "
            if form in ("Expr", "NotExpr") and "AssignExpr" not in body["expr"] and len(statements) > 1:
                yield "no condition", *self._without(spans, number), ""

    def _of_node(self, name: str, body: Mapping[str, Any]) -> Iterator[Change]:
        start, end = int(body["span"]["start"]), int(body["span"]["end"])
        match name:
            case "Bool":
                yield "constant", start, end, str(not body["value"]).lower()
            case "Number" if isinstance(body["value"], int):
                yield "off by one", start, end, str(body["value"] + 1)
                yield "off by one", start, end, str(body["value"] - 1)
            case "String" if " " not in body["value"]:  # or it is a sentence
                yield from self._of_text(start, end)
            case "Array" | "Set":
                yield from self._fewer([self._span(span_of(item)) for item in body["items"]])
            case "Object":
                spans = [(self._span(span_of(k))[0], self._span(span_of(v))[1]) for _, k, v in body["fields"]]
                yield from self._fewer(spans, [string(key) in WORDS for _, key, _ in body["fields"]])
            case "BoolExpr" | "BinExpr" | "ArithExpr":
                yield from self._of_operator(body)
            case "Call" if (called := self._text(body["fcn"])) in SWAPPED:
                yield "swapped", start, start + len(called), SWAPPED[called]

    def _of_text(self, start: int, end: int) -> Iterator[Change]:
        """The next other text of the file, as where two are mixed up."""
        here = self._source[start:end]
        after, before = self._source[end + 1 :], self._source[: start - 1]
        for match in chain(*(re.finditer(rb'(?m)^[^#\n]*?"([a-z_.]+)"(?!:)', part) for part in (after, before))):
            if match[1] != here:
                yield "another text", start, end, match[1].decode()
                return

    def _of_operator(self, body: Mapping[str, Any]) -> Iterator[Change]:
        first, start = self._span(span_of(body["lhs"]))
        end, last = self._span(span_of(body["rhs"]))
        operator = re.fullmatch(rb"(\)*)\s*([=!<>|&+*/-]+)\s*(\(*)", self._source[start:end])
        if operator is None or b"\n" in operator[0]:
            return
        closed, text, opened = (each.decode() for each in operator.groups())
        for kind, table in (("negated", OPPOSITE), ("off by one", BOUNDARY), ("arithmetic", {"+": "-"})):
            if other := table.get(text):
                yield kind, start + operator.start(2), start + operator.end(2), other
        if text in ("|", "&", "-"):
            yield "no operand", start + operator.end(1), last + len(opened), ""
        if text in ("|", "&"):
            yield "no operand", first - len(closed), start + operator.start(3), ""

    def _fewer(self, spans: Sequence[tuple[int, int]], words: Sequence[bool] = ()) -> Iterator[Change]:
        for number in range(len(spans)):
            if len(spans) > 1 and not (words and words[number]):
                yield "no element", *self._without(spans, number), ""

    def _without(self, spans: Sequence[tuple[int, int]], number: int) -> tuple[int, int]:
        """From where to where one of several goes, with what parts it from the others."""
        if number + 1 < len(spans):
            return spans[number][0], spans[number + 1][0]
        return spans[number - 1][1], spans[number][1]

    def _span(self, span: Mapping[str, Any]) -> tuple[int, int]:
        """With the quotes of a text at its ends, which the parser may leave out."""
        start, end = int(span["start"]), int(span["end"])
        return start - (self._source[start - 1 : start] in QUOTES), end + (self._source[end : end + 1] in QUOTES)

    def _text(self, body: Mapping[str, Any]) -> str:
        span = body["span"] if "span" in body else span_of(body)
        return self._source[int(span["start"]) : int(span["end"])].decode()
