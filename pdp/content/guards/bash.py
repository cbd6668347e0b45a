"""Reading Bash: a text to its commands, by tree-sitter-bash."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import tree_sitter
import tree_sitter_bash

MAX_NODES = 16_384
MAX_HEREDOCS = 32  # the parser takes quadratic time for them
_EXPANSIONS = (
    "simple_expansion",
    "expansion",
    "command_substitution",
    "process_substitution",
    "arithmetic_expansion",
)
UNKNOWN = "\ufffd"  # stands for what only the shell knows


@cache
def _parser() -> tree_sitter.Parser:
    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))


@dataclass(slots=True)
class ShellCommand:
    """A command with its arguments, quotes removed. `pipe` numbers the pipeline that it stands in; 0: none."""

    name: str
    arguments: list[str]
    raw: str  # as it is written
    name_raw: str
    pipe: int = 0
    inside: bool = False  # within a substitution


@dataclass(slots=True)
class ShellLine:
    """What stands in a line."""

    commands: list[ShellCommand] = field(default_factory=list)
    expansions: int = 0
    redirects: list[str] = field(default_factory=list)  # as written
    substitutions: int = 0
    functions: int = 0
    operators: int = 0


class TooMuchError(Exception):
    """Beyond a bound."""


def read_line(text: str) -> tuple[ShellLine, bool]:
    """What stands in a text, and whether the grammar does not take all of it. Raises TooMuchError."""
    if text.count("<<") > MAX_HEREDOCS:
        raise TooMuchError
    source = text.encode(errors="replace")
    tree = _parser().parse(source)
    if tree is None or tree.root_node.descendant_count > MAX_NODES:
        raise TooMuchError
    line, pipes = ShellLine(), 0
    pending: list[tuple[tree_sitter.Node, int, bool]] = [(tree.root_node, 0, False)]
    while pending:
        node, pipe, inside = pending.pop()
        kind = node.type
        if kind == "pipeline":
            pipes += 1
            pipe = pipe or pipes
        elif kind == "command":
            line.commands.append(_command(node, pipe, inside=inside))
        else:
            _count(line, node)
        inside = inside or kind in ("command_substitution", "process_substitution")
        pending.extend((child, pipe, inside) for child in reversed(node.children))
    return line, tree.root_node.has_error


def _count(line: ShellLine, node: tree_sitter.Node) -> None:
    kind = node.type
    if kind in ("command_substitution", "process_substitution"):
        line.substitutions += 1
    elif kind in ("file_redirect", "heredoc_redirect", "herestring_redirect"):
        line.redirects.append(_written(node))
    elif kind in ("simple_expansion", "expansion"):
        line.expansions += 1
    elif kind == "function_definition":
        line.functions += 1


def _command(node: tree_sitter.Node, pipe: int, *, inside: bool) -> ShellCommand:
    name = node.child_by_field_name("name")
    arguments = [_value(child) for child in node.children_by_field_name("argument")]
    named = _value(name) if name is not None else ""
    return ShellCommand(
        named.replace("\\", "/").rsplit("/", 1)[-1] if UNKNOWN not in named else named,
        arguments,
        _written(node),
        _written(name) if name is not None else "",
        pipe,
        inside,
    )


def _written(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode(errors="replace")


_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


_PLAIN: Mapping[str, Callable[[str], str]] = {
    "raw_string": lambda written: written[1:-1],
    "ansi_c_string": lambda written: written[2:-1].encode("latin-1", "replace").decode("unicode_escape", "replace"),
    "word": lambda written: _ESCAPED.sub(r"\1", written),
}


def _value(node: tree_sitter.Node) -> str:
    """A word as the shell passes it on; `UNKNOWN` for what is put in its place."""
    kind = node.type
    if kind in _EXPANSIONS:
        return UNKNOWN
    if kind in _PLAIN:
        return _PLAIN[kind](_written(node))
    if kind == "string":
        return "".join(_value(child) if child.type in _EXPANSIONS else _inner(child) for child in node.children)
    if node.named_child_count and kind in ("command_name", "concatenation", "translated_string"):
        return "".join(map(_value, node.children))
    return _written(node)


def _inner(node: tree_sitter.Node) -> str:
    return "" if node.type == '"' else _written(node)
