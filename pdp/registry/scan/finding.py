"""Findings of a scan, and display-safe excerpts."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

from pdp.core.digest import digest, sha256_hex
from pdp.registry.scan.rules import Rule, Severity

_ID_CHARS = 20  # of the hex digest: enough against a second text with the id of an accepted one
_BEFORE, _AFTER = 24, 96
_SHOWN = "\n\t"  # known to everybody, and shown as a space
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class TextPlace:
    """The place of a text: RFC 6901 `pointer` into the definition of `tool` on `server`."""

    server: str
    tool: str
    pointer: str


@dataclass(frozen=True, slots=True, order=True)
class ScanFinding:
    """One rule that holds of one text. `id` changes whenever the text does, so an acceptance is of this text only."""

    server: str
    tool: str
    pointer: str
    code: str
    severity: Severity = field(compare=False)
    excerpt: str = field(compare=False)
    help: str = field(compare=False)
    id: str


def finding(rule: Rule, place: TextPlace, text: str, excerpt: str) -> ScanFinding:
    """A finding about `text`. Its id covers server, tool, pointer, rule, the whole text and the excerpt."""
    covered = (place.server, place.tool, place.pointer, rule.code, text, excerpt)
    identifier = digest([_text_digest(part) for part in covered])[:_ID_CHARS]
    return ScanFinding(
        place.server, place.tool, place.pointer, rule.code, rule.severity, excerpt, rule.help, identifier
    )


def _text_digest(text: str) -> str:
    return sha256_hex(text.encode("utf-8", "surrogatepass"))  # what a live server sends need not be well-formed


def excerpt_of(text: str, start: int = 0, end: int = 0) -> str:
    """At most some 120 characters of `text` around a match, with everything unseen spelled out."""
    first, last = max(0, start - _BEFORE), min(len(text), max(end, start) + _AFTER, start + _BEFORE + _AFTER)
    shown = visible(text[first:last]).strip()
    return f"{'…' if first else ''}{shown}{'…' if last < len(text) else ''}"


def visible(text: str) -> str:
    """`text` with characters that people cannot see, or that move others about, written as ⟨U+XXXX⟩."""
    return "".join(_visible(char) for char in text)


def _visible(char: str) -> str:
    if " " <= char <= "~":
        return char
    if char in _SHOWN or unicodedata.category(char) == "Zs":
        return " "
    if unicodedata.category(char) in _UNSEEN or is_unseen(char):
        return f"⟨U+{ord(char):04X}⟩"
    return char


def is_unseen(char: str) -> bool:
    """Letters and marks by category that are drawn as nothing: fillers and variation selectors."""
    return (
        char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or "\ufe00" <= char <= "\ufe0e"
        or "\U000e0100" <= char <= "\U000e01ef"
    )


def blocking(findings: Iterable[ScanFinding]) -> tuple[ScanFinding, ...]:
    """Findings that keep a set from being signed."""
    return tuple(one for one in findings if one.severity == "high")
