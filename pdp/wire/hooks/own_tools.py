"""Tools of the agents' own, in our words: their vendors publish no definitions. What a call's tool is named must
stand here; its arguments may have members of which we do not know."""

from __future__ import annotations

import itertools
import json
import os
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

_GLOB = frozenset("*?[{(")  # what makes a segment of a path a pattern, for one agent or another
_MOST = 2_000  # places that one call is looked at for
_MOST_SEGMENTS = 50_000  # of these places, each of which is looked up
_MOST_CHARACTERS = 500_000  # of what braces in one text stand for


@dataclass(frozen=True, slots=True)
class OwnTool:
    """A tool of an agent. `answer` is what we propose; with `network`, what it is told may leave the machine; `paths`
    are the arguments that say where it works, without which it does so where the agent does. Where there are any,
    every argument may name files, also one that we do not know, but for `texts`."""

    definition: Mapping[str, Any]
    answer: Literal["reads", "asks"]
    network: bool
    paths: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """As the agent names it."""
        return str(self.definition["name"])


@cache
def own_tools(agent: str) -> tuple[OwnTool, ...]:
    """Those of an agent of `AGENTS`."""
    listed = json.loads(files(__package__).joinpath("own_tools.json").read_bytes())
    return tuple(
        OwnTool(**{**each, "paths": tuple(each["paths"]), "texts": tuple(each["texts"])}) for each in listed[agent]
    )


def own_tool(agent: str, name: str) -> OwnTool | None:
    """None for a tool that is not known."""
    return next((each for each in own_tools(agent) if each.name == name), None)


def reaches(tool: OwnTool, arguments: Mapping[str, Any], at: str, folder: Path, homes: Collection[Path]) -> bool:
    """Whether a call of a tool may reach `folder`, something in it, or a folder that holds it, by a path or a pattern
    in whatever spelling; or what the system tells of processes. `at` is where the agent works; relative names
    without it count as reaching. `homes` are all that `~` may be to the agent."""
    if not tool.paths:
        return False
    known = {*tool.paths, *tool.texts}
    try:
        where = [
            each
            for name in tool.paths
            for text in _texts(arguments.get(name))
            for each in _spelt(text, folder, homes)
        ]
        more = [
            each
            for name in arguments.keys() - known
            for text in _texts(arguments[name])
            if text
            for each in _spelt(text, folder, homes)
        ]
        if len(where) > _MOST or len(more) * (len(where) + 1) > _MOST:
            return True
        if _segments(where) * (len(more) + 1) + _segments(more) * (len(where) + 1) > _MOST_SEGMENTS:
            return True
        places = [Path(at, each) for each in where or [""]]
        return any(_meets(each, folder) for each in places) or any(
            _meets(base / each, folder) for base in (Path(at), *places) for each in more
        )
    except (OSError, RuntimeError, ValueError):
        return True  # no path that can be looked at


def _segments(paths: Sequence[str]) -> int:
    return sum(each.count("/") for each in paths)


def _spelt(text: str, folder: Path, homes: Collection[Path]) -> Iterator[str]:
    """The paths that a text may be for one agent or another, once expanded: homes, addresses, alternatives in braces,
    and without the backslashes that quote in a pattern."""
    text = text.strip()
    if text[:5].lower() == "file:":
        text = unquote(text[5:])
        text = "/" + text.lstrip("/") if not text.startswith("//") else "/" + text[2:].partition("/")[2]
    meant = homes if "~" in text or "HOME" in text else (folder,)  # else it is the same for each
    yield from dict.fromkeys(each for home in meant for each in _expanded(text, folder, home))


def _expanded(text: str, folder: Path, home: Path) -> Iterator[str]:
    for name, value in (("HOME", home), ("XDG_STATE_HOME", folder.parent)):
        text = text.replace(f"${{{name}}}", str(value)).replace(f"${name}", str(value))
    for each in _alternatives(text):
        for plain in {each, each.replace("\\", "")}:
            negated = plain.removeprefix("!")
            if negated == "~" or negated.startswith("~/"):
                negated = f"{home}{negated[1:]}"
            yield str(Path(negated).expanduser()) if negated.startswith("~") else negated


def _alternatives(text: str) -> Iterator[str]:
    """Every text that braces stand for; those that hold none, or a range, stay."""
    pending, given = [text], 0
    while pending:
        each = pending.pop()
        if (found := _braces(each)) is None:
            yield each
            continue
        start, end, parts = found
        given += len(each) * len(parts)
        if given > _MOST_CHARACTERS:
            raise ValueError("more alternatives than anybody means")
        pending += [each[:start] + part + each[end:] for part in parts]


def _braces(text: str) -> tuple[int, int, list[str]] | None:
    """The first braces with alternatives: where they start and end, and what stands between their commas."""
    if (first := min(_with_commas(text), default=None)) is None:
        return None
    start, end, commas = first
    return start, end + 1, [text[a + 1 : b] for a, b in itertools.pairwise([start, *commas, end])]


def _with_commas(text: str) -> Iterator[tuple[int, int, list[int]]]:
    """Where each pair of braces with commas of its own starts and ends, and these. Raises ValueError."""
    opened: list[tuple[int, list[int]]] = []
    for found in re.finditer(r"[{},]", text):
        at, char = found.start(), found.group()
        if char == "{":
            opened.append((at, []))
        elif opened and char == ",":
            opened[-1][1].append(at)
        elif opened:
            start, commas = opened.pop()
            if commas:
                yield start, at, commas
        if len(opened) > _MOST:
            raise ValueError("deeper than anybody means")


def _meets(path: Path, folder: Path) -> bool:
    """Whether a path or pattern may name `folder`, something in it or a folder that holds it. Some agents take `..`
    off a path before they look at links, some after."""
    if not path.is_absolute():
        return True
    wanted = [_folded(part) for part in folder.resolve().parts]
    for parts in {path.parts, Path(os.path.normpath(path)).parts}:
        first = next((i for i, part in enumerate(parts) if _GLOB & set(part)), len(parts))
        if ".." in parts[first:]:
            return True  # of what, is not known before it is there
        for plain in {first, len(parts)}:
            named = [_folded(part) for part in (*Path(*parts[:plain]).resolve().parts, *parts[plain:])]
            if _of_processes(named) or _matches(named, wanted):
                return True
    return False


def _matches(named: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether one of the two may lead on to the other."""
    for part, known in zip(named, wanted, strict=False):
        if "**" in part:
            return True
        if not ({"[", "{", "("} & set(part) or fnmatchcase(known, part)):
            return False
    return True


def _of_processes(named: Sequence[str]) -> bool:
    """Whether it lies where the kernel shows processes: their memory, their files, their environment."""
    return _matches(named[:2], ("/", "proc")) and len(named) > 1 and not "".join(named[2:3]).isalpha()


def _folded(part: str) -> str:
    """One spelling for what some file systems take for one name."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    nested = value if isinstance(value, list) else (*value, *value.values()) if isinstance(value, dict) else ()
    return [text for each in nested for text in _texts(each)]
