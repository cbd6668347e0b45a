"""Secrets taken out of what a judge is shown: each is replaced by its kind. Pure.

The formats are those of `patterns`. They tell only how a secret begins, so what can still belong to it is taken out
with it, and nothing else: writing `-----BEGIN PRIVATE KEY-----` hides no other text from the judge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pdp.core.digest import Json
from pdp.core.patterns import PATTERNS, Pattern, secrets_in

_REST = {"secret": re.compile(r"[A-Za-z0-9_-]*"), "bearer_token": re.compile(r"[A-Za-z0-9._~+/=-]*")}
_KEY, _KEY_END = "private_key", re.compile(r"-----END [A-Z0-9 ]{1,64}-----")
_BREAK, _LINE = r"(?:\s|\\[nr])", "[A-Za-z0-9+/=]"
# long lines of a key, the last, which may be short, and its end; none begins within a line, or each would be tried
_KEY_TEXT = re.compile(
    rf"(?:{_BREAK}{{1,4}}|(?<!{_LINE}))(?:{_LINE}{{20,}}|{_LINE}{{1,64}}(?={_BREAK}{{0,4}}-----END ))"
    rf"|{_BREAK}{{0,4}}{_KEY_END.pattern}"
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
    for pattern in secrets_in(text):
        for each in PATTERNS:
            if each.name == pattern.name:
                text = _without(text, each)
    return text


def _without(text: str, pattern: Pattern) -> str:
    out, at = [], 0
    every = list(pattern.text.finditer(text))
    ends = (*(each.start() for each in every[1:]), len(text))  # nothing of one secret lies beyond the next
    for secret, following in zip(every, ends, strict=False):
        if secret.start() < at:
            continue
        out += [text[at : secret.start()], f"[secret: {pattern.name}]"]
        at = secret.end()
        if pattern.name == _KEY:
            last = _KEY_END.search(text, at, following)
            end = following if last is None else last.end()
            out.append(_KEY_TEXT.sub("", text[at:end]))
            at = end
        elif (rest := _REST[pattern.kind].match(text, at)) is not None:
            at = rest.end()
    return "".join([*out, text[at:]])


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
