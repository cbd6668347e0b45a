"""Display-safe excerpts of untrusted text."""

from __future__ import annotations

import unicodedata

_BEFORE, _AFTER = 24, 96
_SHOWN = "\n\t"  # shown as a space
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cn", "Cs", "Zl", "Zp"})


def excerpt_of(text: str, start: int = 0, end: int = 0) -> str:
    """At most some 120 characters of `text` around a match, with invisible characters spelled out."""
    first, last = max(0, start - _BEFORE), min(len(text), max(end, start) + _AFTER, start + _BEFORE + _AFTER)
    shown = visible(text[first:last]).strip()
    return f"{'…' if first else ''}{shown}{'…' if last < len(text) else ''}"


def visible(text: str) -> str:
    """`text` with invisible and direction-changing characters written as ⟨U+XXXX⟩."""
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
    """Whether a letter or mark by category is invisible: a filler or variation selector."""
    return (
        char in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or "\ufe00" <= char <= "\ufe0e"
        or "\U000e0100" <= char <= "\U000e01ef"
    )
