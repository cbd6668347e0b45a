"""What is refused before a parser sees the text: its cost grows exponentially with nested brackets."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pdp.core.policy import Module
from pdp.policy.gate.report import ERROR, Finding

MAX_DEPTH = 10
MAX_LINES = 2_000
MAX_LINE = 500  # characters; the engine itself stops at 1,024
MAX_BYTES = 128 * 1024
_TOKEN = re.compile(r'#[^\n]*|`[^`]*`|"(?:\\.|[^"\\\n])*"|[()\[\]{}"`]')
_PAIRS = {")": "(", "]": "[", "}": "{"}


def scan(module: Module) -> list[Finding]:
    """Size, line length, bracket depth and balance of one module."""
    found = list(_sizes(module))
    found += _brackets(module)
    return found


def _finding(module: Module, line: int, column: int, code: str, message: str, hint: str) -> Finding:
    return Finding(module.path, line, column, code, ERROR, message, hint)


def _sizes(module: Module) -> Iterator[Finding]:
    lines = module.text.split("\n")
    if len(module.text.encode()) > MAX_BYTES or len(lines) > MAX_LINES:
        message = f"The file is longer than {MAX_LINES} lines or {MAX_BYTES >> 10} KiB."
        yield _finding(module, 1, 1, "size.file", message, "Split it by concern; files of one package add up.")
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE:
            message = f"The line is longer than {MAX_LINE} characters."
            hint = "Break it; long lists belong into data/org.json, read as data.org."
            yield _finding(module, number, MAX_LINE + 1, "size.line", message, hint)
            return
        for column, char in enumerate(line.removesuffix("\r"), 1):
            if not char.isprintable() and char != "\t":
                message = f"U+{ord(char):04X} is invisible and can make text read differently than it runs."
                yield _finding(module, number, column, "text.invisible", message, "Remove the character.")
                return


def _brackets(module: Module) -> list[Finding]:
    """Depth and balance, outside of comments and text."""
    stack: list[str] = []
    for token in _TOKEN.finditer(module.text):
        char = token[0]
        if char in _PAIRS:
            if not stack or stack.pop() != _PAIRS[char]:
                return [_unbalanced(module, token.start())]
        elif char in ('"', "`"):  # not closed, or it would have matched as a whole
            return [_unbalanced(module, token.start())]
        elif char in ("(", "[", "{"):
            stack.append(char)
        if len(stack) > MAX_DEPTH:
            message = f"Brackets are nested deeper than {MAX_DEPTH}."
            hint = "Give the inner part a name: a helper rule or a variable of its own."
            return [_finding(module, *_position(module.text, token.start()), "size.depth", message, hint)]
    return [_unbalanced(module, len(module.text))] if stack else []


def _unbalanced(module: Module, offset: int) -> Finding:
    message = "Brackets or quotes do not match."
    return _finding(module, *_position(module.text, offset), "syntax.brackets", message, "Close what was opened.")


def _position(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
