"""Secrets taken out of what a judge is shown: each is replaced by its kind. Pure.

The formats are those of `patterns`. They tell only how a secret begins, so what can still belong to it is taken out
with it, and nothing else: who writes `-----BEGIN PRIVATE KEY-----` hides no other text from the judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pdp.core.digest import Json
from pdp.core.patterns import PATTERNS, Pattern, secrets_in

_REST = {"secret": re.compile(r"[A-Za-z0-9_-]*"), "bearer_token": re.compile(r"[A-Za-z0-9._~+/=-]*")}
_KEY, _KEY_END = "private_key", re.compile(r"-----END [A-Z0-9 ]{1,64}-----")
_BREAK, _LINE = r"(?:\s|\\[nr]){0,4}", "[A-Za-z0-9+/=]"
# long lines of a key, the last, which may be short, and its end
_KEY_TEXT = re.compile(rf"{_BREAK}(?:{_LINE}{{20,}}|{_LINE}{{1,64}}(?={_BREAK}-----END )|{_KEY_END.pattern})")
_VALUE = "[secret: value]"


@dataclass(frozen=True, slots=True)
class Redacted:
    """Fit to be shown to a judge."""

    arguments: Mapping[str, Json]
    observation: str


def redacted(arguments: Mapping[str, Json], pointers: Sequence[str], observation: str) -> Redacted:
    """`pointers` are those of findings of secrets (JSON Pointers; a step `*` is a name that is not shown). What they
    lead to is taken out whole where no known format stands in it."""
    paths = tuple(tuple(pointer.split("/")[1:]) for pointer in pointers)
    return Redacted(_object(arguments, paths), redacted_text(observation))


def redacted_text(text: str) -> str:
    """The text with each secret in it replaced, as in `[secret: github_token]`."""
    for pattern in secrets_in(text):
        for each in PATTERNS:
            if each.name == pattern.name:
                text = _without(text, each)
    return text


def _without(text: str, pattern: Pattern) -> str:
    out, at = [], 0
    every = list(pattern.text.finditer(text))
    ends = (*(each.start() for each in every[1:]), len(text))  # nothing of one secret lies beyond the next
    for found, following in zip(every, ends, strict=False):
        if found.start() < at:
            continue
        out += [text[at : found.start()], f"[secret: {pattern.name}]"]
        at = found.end()
        if pattern.name == _KEY:
            last = _KEY_END.search(text, at, following)
            end = following if last is None else last.end()
            out.append(_KEY_TEXT.sub("", text[at:end]))
            at = end
        elif (rest := _REST[pattern.kind].match(text, at)) is not None:
            at = rest.end()
    return "".join([*out, text[at:]])


_Paths = tuple[tuple[str, ...], ...]


def _below(paths: _Paths, key: str) -> _Paths:
    step = key.replace("~", "~0").replace("/", "~1")
    return tuple(path[1:] for path in paths if path and path[0] in (step, "*"))


def _value(value: Json, paths: _Paths) -> Json:
    """`paths` lead on from here; an empty one means this value."""
    here = () in paths
    if isinstance(value, str):
        clean = redacted_text(value)
        return _VALUE if here and clean == value else clean
    if isinstance(value, Mapping):
        return _object(value, paths)
    if isinstance(value, list | tuple):
        return [_value(inner, _into(paths, str(i))) for i, inner in enumerate(value)]
    return _VALUE if here and value is not None else value


def _object(value: Mapping[str, Json], paths: _Paths) -> Mapping[str, Json]:
    """Its members; names that read the same without their secrets are numbered."""
    members: dict[str, Json] = {}
    for key, inner in value.items():
        name = clean = redacted_text(key)
        number = 1
        while name in members or (name != key and name in value):
            number += 1
            name = f"{clean} {number}"
        members[name] = _value(inner, _into(paths, key))
    return members


def _into(paths: _Paths, key: str) -> _Paths:
    """What is pointed at is so with everything in it."""
    return (*_below(paths, key), *(path for path in paths if not path))
