"""Read-only shell commands, by the table `reading.toml`, on files in the agent's repository.

Only texts with one meaning in every shell are accepted: words, quotes, and command separators. Each command must be
read-only by itself, whichever of them run. Files are resolved. Any other text is not accepted, so the user is asked.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pdp.core.tables import tables
from pdp.local import provenance
from pdp.local.provenance import Process

_KNOWN = tables(__file__)
_MOST = 4_096  # characters
# no `~`, `*`, `?`, `[`, `{`, `$`, `!`, `#`, `^`, or backslash of its own; `=` begins a name in one shell, in another
# `\'` and `\\` are one character within single quotes, in a third `''` is
_SINGLE = r"'(?:[^'\\]|\\[^'\\])*'(?!')"
_DOUBLE = r"\"[^\"$`\\!]*\""
_WORD = rf"(?:[A-Za-z0-9_./@%+:,-]|(?<=[\w-])=|{_SINGLE}|{_DOUBLE})+"
_COMMAND = re.compile(
    rf" *(?P<words>{_WORD}(?: +(?!2>){_WORD})*)(?: +2>(?:/dev/null|&1))? *(?P<join>\|\||&&|\||;|\Z)", re.ASCII
)
_GIT = ".git"  # its configuration may hold tokens


def only_reads(
    command: object, at: str, lineage: tuple[Process, ...], apart: Collection[Path], homes: Collection[Path]
) -> list[str] | None:
    """The resolved files that a command reads; None for one that may do more, or an unknown one. `at` is the agent's
    working folder, `apart` are forbidden paths, `homes` the user's possible homes."""
    commands = _commands(command)
    if commands is None:
        return None
    try:
        repository = _repository(at, (*apart, *homes))
        if repository is None:
            return None
        read = [_read(name, words, piped, at, repository) for (name, *words), piped in commands]
        programs = {name for (name, *_), _ in commands if not _KNOWN.get(name, {}).get("builtin")}
        if None in read or not all(provenance.starts(lineage, each, (repository, *homes)) for each in programs):
            return None
    except (OSError, RuntimeError, ValueError):
        return None
    return list(dict.fromkeys(file for files in read for file in files or ()))


def _commands(text: object) -> list[tuple[list[str], bool]] | None:
    """The words of each command of a text, and whether it is piped into; None for a text that shells may read
    differently."""
    if not isinstance(text, str) or len(text) > _MOST or not text.isprintable():
        return None
    commands, start, join = list[tuple[list[str], bool]](), 0, ";"
    while join:
        each = _COMMAND.match(text, start)
        if each is None:
            return None
        commands.append((shlex.split(each["words"]), join == "|"))
        start, join = each.end(), each["join"]
    return commands


def _read(name: str, words: list[str], piped: bool, at: str, repository: Path) -> list[str] | None:
    """The files that one command reads; None for one that is not known to read alone. Raises OSError, RuntimeError,
    ValueError."""
    program = _KNOWN.get(name)
    operands = None if program is None else _operands(program, words, piped)
    if program is None or operands is None:
        return None
    shown = program["operands"] == "contents"
    files = [Path(at, each).resolve(strict=True) for each in operands] if program["operands"] != "text" else []
    if any(not _within(each, repository) or (shown and not each.is_file()) for each in files):
        return None
    return [str(each) for each in files]


def _operands(program: Mapping[str, Any], words: list[str], piped: bool) -> list[str] | None:
    """The operands that name files or are texts; None for unknown options or operands."""
    operands, left = list[str](), iter(words)
    for word in left:
        if word in program.get("valued", {}):
            if not re.fullmatch(program["valued"][word], next(left, "")):
                return None
        elif not word.startswith("-"):
            operands.append(word)
        elif not re.fullmatch(program.get("options", "(?!)"), word):
            return None
    texts = program.get("texts", 0)
    if len(operands) < texts or not all(re.fullmatch(program.get("text", ".*"), each) for each in operands[:texts]):
        return None
    files = operands[texts:]
    fewest = 0 if program["operands"] != "contents" or (piped and program.get("piped")) else 1
    most = 0 if program["operands"] == "none" else program.get("most", len(files))
    return files if fewest <= len(files) <= most else None


def _repository(at: str, apart: Collection[Path]) -> Path | None:
    """The repository around a folder; None without one, and for one with a path of `apart` in it."""
    place = Path(at)
    if not place.is_absolute():
        return None
    real = place.resolve(strict=True)
    repository = next((each for each in (real, *real.parents) if (each / _GIT).exists()), None)
    return (
        None if repository is None or any(each.resolve().is_relative_to(repository) for each in apart) else repository
    )


def _within(file: Path, repository: Path) -> bool:
    return file.is_relative_to(repository) and _GIT not in file.relative_to(repository).parts
