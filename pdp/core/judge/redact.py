"""Secrets taken out of what a judge is shown: each is replaced by its kind. Pure.

The formats are those of `patterns`. They tell only how a secret begins, so what can still belong to it is taken out
with it, and nothing else: writing `-----BEGIN PRIVATE KEY-----` hides no other text from the judge.
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
# long lines of a key, the last, which may be short, and its end; none begins within a line, or each would be tried
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
    """Only what has the format of a secret goes, in names too. Values are never taken out for what stands beside
    them, or an argument named like a token would keep the others from the judge."""
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
    """What goes, and what stands for it."""
    for each in credentials(text):
        label = f"[secret: {each.name}]"
        if each.name != PRIVATE_KEY or _KEY_BEGIN.match(text, each.start) is None:
            yield each.start, each.end, label
            continue
        begins = [*_KEY_BEGIN.finditer(text, each.start, each.end)]
        ends = (*(begin.start() for begin in begins[1:]), each.end)  # nothing of one key lies beyond the next
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
    """Its members; names that read the same without their secrets are numbered."""
    members: dict[str, Json] = {}
    numbers: Counter[str] = Counter()
    for key, inner in value.items():
        name = clean = redacted_text(key)
        while name in members or (name != key and name in value):
            numbers[clean] += 1
            name = f"{clean} {numbers[clean] + 1}"
        members[name] = _value(inner)
    return members
