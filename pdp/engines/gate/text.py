"""What is refused before a parser sees the text: its cost grows exponentially with nested brackets."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.core.policy import Module
from pdp.engines.gate.report import ERROR, Finding

MAX_DEPTH = 10
MAX_LINES = 2_000
MAX_LINE = 500  # characters; the engine itself stops at 1,024
MAX_BYTES = 128 * 1024
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
        for column, char in enumerate(line, 1):
            if not char.isprintable() and char not in "\t\r":
                message = f"U+{ord(char):04X} is invisible and can make text read differently than it runs."
                yield _finding(module, number, column, "text.invisible", message, "Remove the character.")
                return


def _brackets(module: Module) -> list[Finding]:
    stack: list[str] = []
    line, start = 1, 0
    text = module.text
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\n":
            line, start = line + 1, i + 1
        elif char == "#":
            end = text.find("\n", i)
            i = len(text) if end < 0 else end
            continue
        elif char in '"`':
            skipped = _string_end(text, i)
            if skipped is None:
                return [_unbalanced(module, line, i - start + 1)]
            line += text.count("\n", i, skipped)
            if "\n" in text[i:skipped]:
                start = text.rindex("\n", i, skipped) + 1
            i = skipped
            continue
        elif char in "([{":
            stack.append(char)
            if len(stack) > MAX_DEPTH:
                message = f"Brackets are nested deeper than {MAX_DEPTH}."
                hint = "Give the inner part a name: a helper rule or a variable of its own."
                return [_finding(module, line, i - start + 1, "size.depth", message, hint)]
        elif char in _PAIRS:
            if not stack or stack.pop() != _PAIRS[char]:
                return [_unbalanced(module, line, i - start + 1)]
        i += 1
    return [_unbalanced(module, line, 1)] if stack else []


def _unbalanced(module: Module, line: int, column: int) -> Finding:
    message = "Brackets or quotes do not match."
    return _finding(module, line, column, "syntax.brackets", message, "Close what was opened, in order.")


def _string_end(text: str, start: int) -> int | None:
    """The index after the closing quote, or None. Raw strings end at the next backtick, others within the line."""
    if text[start] == "`":
        end = text.find("`", start + 1)
        return None if end < 0 else end + 1
    i = start + 1
    while i < len(text) and text[i] != "\n":
        if text[i] == "\\":
            i += 2
        elif text[i] == '"':
            return i + 1
        else:
            i += 1
    return None
