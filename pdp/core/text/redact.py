"""Redaction of secrets in the judge's input: each is replaced by its kind. Pure.

The formats are those of `patterns`, which match only a secret's beginning; the text that can belong to it is removed
too, and nothing else: a `-----BEGIN PRIVATE KEY-----` in the data hides no other text from the judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pdp.core.bytes.digest import Json
from pdp.core.text.credentials import credentials
from pdp.core.text.patterns import KEY_END, PRIVATE_KEY

_KEY_BEGIN = re.compile(r"-----BEGIN[ A-Z0-9]{0,60}KEY[ A-Z]{0,8}-----")
_BREAK, _LINE = r"(?:\s|\\[nr])", "[A-Za-z0-9+/=]"
# long lines of a key, the last, which may be short, and its end; a match never begins within a line, for speed
_KEY_TEXT = re.compile(
    rf"(?:{_BREAK}{{1,4}}|(?<!{_LINE}))(?:{_LINE}{{20,}}|{_LINE}{{1,64}}(?={_BREAK}{{0,4}}-----END ))"
    rf"|{_BREAK}{{0,4}}{KEY_END.pattern}"
)


@dataclass(frozen=True, slots=True)
class Redacted:
    """A call's arguments and observation without secrets."""

    arguments: Mapping[str, Json]
    observation: str


def redacted(arguments: Mapping[str, Json], observation: str) -> Redacted:
    """Text in the format of a secret is replaced, in names too. A name never redacts its value, else an argument
    named like a token would hide any text from the judge."""
    return Redacted(_object(arguments), redacted_text(observation))


def redacted_text(text: str) -> str:
    """The text with each secret in it replaced, as in `[secret: github_token]`."""
    out, at = [], 0
    for start, end, label in sorted(_edits(text)):
        if start >= at:
            out += [text[at:start], label]
        at = max(at, end)
    return "".join([*out, text[at:]])


def _edits(text: str) -> Iterator[tuple[int, int, str]]:
    """Spans to be replaced, with their replacements."""
    for each in credentials(text):
        label = f"[secret: {each.name}]"
        if each.name != PRIVATE_KEY or _KEY_BEGIN.match(text, each.start) is None:
            yield each.start, each.end, label
            continue
        begins = [*_KEY_BEGIN.finditer(text, each.start, each.end)]
        ends = (*(begin.start() for begin in begins[1:]), each.end)  # a key ends before the next begins
        for begin, end in zip(begins, ends, strict=True):
            yield *begin.span(), label
            for line in _KEY_TEXT.finditer(text[begin.end() : end]):
                yield begin.end() + line.start(), begin.end() + line.end(), ""


def _value(value: Json) -> Json:
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return [_value(inner) for inner in value]
    return value


def _object(value: Mapping[str, Json]) -> Mapping[str, Json]:
    """The redacted members; names that become equal by redaction are numbered."""
    members: dict[str, Json] = {}
    numbers: Counter[str] = Counter()
    for key, inner in value.items():
        name = clean = redacted_text(key)
        while name in members or (name != key and name in value):
            numbers[clean] += 1
            name = f"{clean} {numbers[clean] + 1}"
        members[name] = _value(inner)
    return members
