"""Code: what a text does that Python or JavaScript evaluates, or that is put into code or a template.

Both are parsed by tree-sitter, and judged by the names that they call and reach for (`code_names.toml`), which are
known; a text that neither takes was not judged. Templates are told by their delimiters, whatever the engine.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import product
from pathlib import Path

import tree_sitter
import tree_sitter_javascript
import tree_sitter_python

from pdp.content.guards.codes import UNPARSED
from pdp.content.guards.templates import expressions_of

MAX_NODES = 16_384
MAX_COMMENTS = 8  # of HTML, which JavaScript has too: the parser takes quadratic time for them

_NAMES = tomllib.loads(Path(__file__).with_name("code_names.toml").read_text(encoding="utf-8"))
_REACHED = {
    code: {how: frozenset(names.get(how, ())) for how in ("calls", "alone", "anywhere", "roots")}
    for code, names in _NAMES.items()
    if code not in {"module", "other"}
}
_MODULES = frozenset(_NAMES["module"]["roots"])
_DECODING = frozenset(_NAMES["other"]["decoding"])
_NAMING = frozenset(_NAMES["other"]["naming"])
_IN_TEXTS = re.compile(
    r"__(?:mro|bases?|subclasses|globals|builtins|code|getattribute|import|class)__|child_process|func_globals"
    r"|(?:^|\W)(?:os|posix|nt)\.(?:system|popen)|constructor\.constructor"
)
_SPELLED = re.compile(r"(?:\\x[0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\[0-7]{3}){4}")
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_SIGNS_ALONE = re.compile(r"[\[\]()!+{}\s]{40,}\Z")
_CONSTANTS = frozenset(
    {"True", "true", "None", "null", "undefined", "NaN", "Infinity", "this", "String", "False", "false"}
)
_REPEATED = frozenset({"string", "list", "array", "tuple"})
_LARGE = 1_000

_CALLS = {"call": "function", "call_expression": "function", "new_expression": "constructor"}
_MEMBERS = {"attribute": ("object", "attribute"), "member_expression": ("object", "property")}
_SUBSCRIPTS = {"subscript": ("value", "subscript"), "subscript_expression": ("object", "index")}
_INSIDE = {"parenthesized_expression", "await", "await_expression", "sequence_expression"}
_CONDITIONS = frozenset({"boolean_operator", "comparison_operator"})
_STATEMENTS = ("_statement", "_definition", "_declaration", "assignment", "assignment_expression")


def whole(text: str) -> Iterator[str]:
    """The findings of a text that is evaluated: an expression or a program."""
    root = _read(text)
    if root is None:
        yield UNPARSED
    else:
        yield from _judged(Names.of(root), text)


def value(text: str) -> Iterator[str]:
    """The findings of a text that is put into code or a template, where data is expected."""
    inner = []
    for code, written in expressions_of(text):
        yield code
        inner.append(written)
    for written in (text, *inner):
        root = _read(written) or _read(written + _closing(written))
        if root is not None:
            names = Names.of(root)
            yield from set(_judged(names, written)) - {"statement"}
            if names.called:
                yield "call"
    yield from _breaking_out(text)


def _closing(text: str) -> str:
    """The brackets that a text leaves open."""
    opened: list[str] = []
    for sign in text:
        if sign in _BRACKETS:
            opened.append(_BRACKETS[sign])
        elif opened and sign == opened[-1]:
            opened.pop()
    return "".join(reversed(opened))


_IN_CODE = (("", ""), ("f(", ")"), ("f(", ""))


def _breaking_out(text: str) -> Iterator[str]:
    """What a text does that ends the quotes in which it stands."""
    places = _IN_CODE if ")" in text else _IN_CODE[:1]
    for quote, (before, after) in product([quote for quote in "'\"`" if quote in text], places):
        root = _read(f"{before}{quote}{text}{quote}{after}")
        if root is None:
            continue
        names = Names.of(root)
        if names.acts - bool(before) > 0:
            yield "breakout"
            yield from set(_judged(names, text)) - {"statement"}
            return


@cache
def _parsers() -> tuple[tree_sitter.Parser, ...]:
    languages = (tree_sitter_python.language(), tree_sitter_javascript.language())
    return tuple(tree_sitter.Parser(tree_sitter.Language(language)) for language in languages)


def _read(text: str) -> tree_sitter.Node | None:
    """The tree of a text that one of the grammars takes whole. Raises ValueError for too many nodes."""
    if text.count("<!--") > MAX_COMMENTS:
        raise ValueError("Too many comments.")
    for parser in _parsers():
        root = parser.parse(text.strip().encode(errors="replace")).root_node
        if root.descendant_count > MAX_NODES:
            raise ValueError("Too much code.")
        if not root.has_error:
            return root
    return None


@dataclass(slots=True)
class Names:
    """What code names. A chain is `a.b["c"](d)`: its names in order, each with whether it is called."""

    chains: list[list[tuple[str, bool]]] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)
    statements: int = 0
    unbounded: bool = False
    acts: int = 0  # calls, names, assignments: more than constants

    @property
    def called(self) -> bool:
        return any(called for chain in self.chains for _, called in chain)

    @classmethod
    def of(cls, root: tree_sitter.Node) -> Names:
        found = cls()
        pending: list[tuple[tree_sitter.Node, bool]] = [(root, False)]
        while pending:
            node, linked = pending.pop()
            inner = _object(node)
            if not linked and (inner is not None or node.type == "identifier"):
                found.chains.append(_chain(node))
                found.acts += 1
            found._take(node)
            pending.extend((child, inner is not None and child.id == inner.id) for child in reversed(node.children))
        return found

    def _take(self, node: tree_sitter.Node) -> None:
        kind = node.type
        if kind.startswith("import_") and kind.endswith("_statement"):
            self.modules.update(re.findall(r"\w+", _written(node)))
        elif kind in {"string_content", "string_fragment"}:
            self.texts.append(_written(node))
        elif kind == "exec_statement":
            self.chains.append([("exec", True)])
        if kind.endswith(_STATEMENTS) and kind != "expression_statement":
            self.statements += 1
            self.acts += 1
        self.acts += kind in _CONDITIONS or (kind == "binary_expression" and _sign(node) in {"||", "&&", "==", "==="})
        self.unbounded = self.unbounded or _never_ends(node)


def _object(node: tree_sitter.Node) -> tree_sitter.Node | None:
    """What stands before the last name, brackets or call of a chain."""
    if node.type in _CALLS:
        return node.child_by_field_name(_CALLS[node.type])
    names = _MEMBERS.get(node.type) or _SUBSCRIPTS.get(node.type)
    return node.child_by_field_name(names[0]) if names else None


def _chain(node: tree_sitter.Node) -> list[tuple[str, bool]]:
    names: list[tuple[str, bool]] = []
    called = False
    step: tree_sitter.Node | None = node
    while step is not None:
        kind = step.type
        if kind in _CALLS:
            function = step.child_by_field_name(_CALLS[kind])
            if function is not None and _written(function).rpartition(".")[2] in _NAMING:
                names += [(text, False) for text in _first_texts(step)]
            called = True
        elif kind in _INSIDE:
            step = next(iter(step.named_children), None)
            continue
        else:
            names.append((_name(step), called))
            called = False
        step = _object(step)
    return names[::-1]


def _name(node: tree_sitter.Node) -> str:
    if node.type in _MEMBERS:
        member = node.child_by_field_name(_MEMBERS[node.type][1])
        return _written(member) if member is not None else ""
    if node.type in _SUBSCRIPTS:
        index = node.child_by_field_name(_SUBSCRIPTS[node.type][1])
        return "".join(_texts(index)) if index is not None else ""
    return _written(node) if node.child_count == 0 else ""


def _first_texts(call: tree_sitter.Node) -> list[str]:
    arguments = call.child_by_field_name("arguments")
    return [
        "".join(_texts(each)).removeprefix("node:") for each in (arguments.named_children[:2] if arguments else ())
    ]


def _texts(node: tree_sitter.Node) -> Iterator[str]:
    """The constant texts in an expression, in their order."""
    pending = [node]
    while pending:
        each = pending.pop()
        if each.type in {"string_content", "string_fragment"}:
            yield _written(each)
        pending.extend(reversed(each.children))


def _written(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode(errors="replace")


def _never_ends(node: tree_sitter.Node) -> bool:
    """A loop whose condition cannot change, a very large power or repetition."""
    if node.type in {"while_statement", "do_statement", "for_statement"}:
        condition = node.child_by_field_name("condition")
        if condition is None:
            return node.type == "for_statement" and node.child_by_field_name("left") is None
        return _CONSTANTS.issuperset(re.findall(r"[^\W\d]\w*", _written(condition)))
    if node.type not in {"binary_operator", "binary_expression"}:
        return False
    left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
    if left is None or right is None:
        return False
    if _sign(node) in {"**", "<<"}:
        return _is_large(right)
    return _sign(node) == "*" and (
        (left.type in _REPEATED and _is_large(right)) or (right.type in _REPEATED and _is_large(left))
    )


def _sign(node: tree_sitter.Node) -> str:
    operator = node.child_by_field_name("operator")
    return _written(operator) if operator is not None else ""


def _is_large(node: tree_sitter.Node) -> bool:
    written = _written(node)
    return "**" in written or "<<" in written or (written.isdecimal() and int(written[:9]) >= _LARGE)


def _judged(names: Names, text: str) -> Iterator[str]:
    found = {code for chain in names.chains for code in _of_chain(chain)}
    yield from found
    if "execution" in found and any(name in _DECODING for chain in names.chains for name, called in chain if called):
        yield "obfuscated"
    if not names.modules.isdisjoint(_MODULES):
        yield "module"
    if names.unbounded:
        yield "unbounded"
    if names.statements:
        yield "statement"
    if any(map(_IN_TEXTS.search, names.texts)) or _IN_TEXTS.search("".join(names.texts)):
        yield "introspection"
    spelled = {name for chain in names.chains for name, _ in chain if not name.isascii()}
    plain = {unicodedata.normalize("NFKC", name) for name in spelled}
    if any(name.isascii() for name in plain) or _SPELLED.search(text) or _SIGNS_ALONE.match(text):
        yield "obfuscated"
    for name in plain:
        yield from _of_chain([(name, True)])


def _of_chain(chain: Sequence[tuple[str, bool]]) -> Iterator[str]:
    """What a chain reaches."""
    names = {name for name, _ in chain}
    calls = {name for name, called in chain if called}
    first, called = chain[0]
    for code, reached in _REACHED.items():
        if (
            not reached["calls"].isdisjoint(calls)
            or not reached["anywhere"].isdisjoint(names)
            or (called and first in reached["alone"])
            or ((called or (len(chain) > 1 and chain[1][0])) and first in reached["roots"])
        ):
            yield code
    if "constructor" in calls or [name for name, _ in chain].count("constructor") > 1:
        yield "execution"
