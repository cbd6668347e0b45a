# ruff: noqa: RUF001, RUF002 - it is about characters that look like others
"""Text of others made harmless to look at: whatever cannot be seen, or looks like something else, is spelled out.

One function for page, terminal and notification. What it returns has only characters with a shape of their own, and
can be read back: two different texts never look the same, as far as characters go. In a word with Latin letters those
of a script that has the same shapes are spelled out. (A word all in one script stays, whatever it looks like; so does
the direction of right-to-left letters, which whoever shows a text isolates.)

    U+202E → ⟨U+202E⟩    five of them → ⟨U+202E ×5⟩    40 spaces → ⟨space ×40⟩    30 zeros → 0⟨×30⟩
    pаypal, its first a Cyrillic → p⟨U+0430⟩ypal
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from itertools import groupby

MAX_MARKS = 3  # combining marks on one letter; writing systems use up to three
MAX_RUN = 24  # of one character, before it is counted instead

# Default_Ignorable_Code_Point of DerivedCoreProperties.txt, Unicode 16.0 (unchanged since 5.2 but for reserved ones);
# `unicodedata` does not know the property. Variation selectors and tags are among them.
DEFAULT_IGNORABLE = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs", "Me"})
# Blank although they count as symbols, stand-ins for what is not there, and Hangul letters that join into syllables.
_BLANK = frozenset("\u2800\U0001d159\ufffc\ufffd")
_JOINING = ((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF))
# What we write ourselves, and what would pass for it.
_BRACKETS = frozenset("⟨⟩〈〉❬❭❰❱⧼⧽‹›︿﹀\u2329\u232a")
# Scripts, as Unicode names their letters, that have many of the shapes of Latin ones.
_ALIKE = frozenset({"ARMENIAN", "CHEROKEE", "COPTIC", "CYRILLIC", "GREEK", "LISU"})
_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|[\u0300-\u036f])*")
_OVERLAY = 1  # combining class of strokes through a letter

_PLAIN = re.compile(r"(?:[!-~]| (?=[!-~]))*", re.ASCII)
_RUN = re.compile(rf"(.)\1{{{MAX_RUN}}}", re.DOTALL)


def visible(text: str, *, lines: bool = False) -> str:
    """The text with everything deceptive spelled out. A line break is `⟨U+000A⟩`; with `lines`, up to two in a row
    are kept as such, for a text that is shown as a block. Never raises; the result is well-formed Unicode."""
    if _PLAIN.fullmatch(text) and not text.startswith(" ") and _RUN.search(text) is None:
        return text
    if lines:
        return "".join(_line(part) if part[:1] != "\n" else _breaks(part) for part in re.split(r"(\n+)", text))
    return _line(text)


@lru_cache(maxsize=4_096)
def hidden(char: str) -> bool:
    """Whether a character is spelled out wherever it stands. Marks and spaces may be as well, by what is around."""
    code = ord(char)
    if unicodedata.category(char) in _HIDDEN_CATEGORIES and char != " ":
        return True
    if char in _BLANK or char in _BRACKETS or unicodedata.combining(char) == _OVERLAY:
        return True
    if any(first <= code <= last for first, last in (*DEFAULT_IGNORABLE, *_JOINING)):
        return True
    return unicodedata.normalize("NFC", char) != char  # the same shape as another character


def _breaks(run: str) -> str:
    return run if len(run) <= 2 else f"\n⟨U+000A ×{len(run) - 2}⟩\n"


def _line(text: str) -> str:
    out = []
    shown = _shown(text)
    at = 0
    for (char, plain), run in groupby(zip(text, shown, strict=True)):
        length = len(list(run))
        at += length
        edge = at == length or at == len(text)
        out.append(_run(char, length, plain=plain, edge=edge))
    return "".join(out)


def _run(char: str, length: int, *, plain: bool, edge: bool) -> str:
    if char == " ":
        return " " if length == 1 and not edge else f"⟨space ×{length}⟩"
    if not plain:
        times = f" ×{length}" if length > 1 else ""
        return f"⟨U+{ord(char):04X}{times}⟩"
    return char * length if length <= MAX_RUN else f"{char}⟨×{length}⟩"


def _shown(text: str) -> list[bool]:
    """For each character whether it shows itself. Marks do on a letter, where they are few and no other spelling of
    the same letter exists; otherwise all marks of that letter are spelled out."""
    shown: list[bool] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and _is_mark(text[end]):
            end += 1
        shown += _cluster(text[start:end])
        start = end
    for word in _WORD.finditer(text):
        _tell_scripts_apart(word, shown)
    return shown


def _tell_scripts_apart(word: re.Match[str], shown: list[bool]) -> None:
    """Have spelled out what passes for a Latin letter in a word that has such, with the marks on it."""
    scripts = [_script(char) for char in word[0]]
    if "LATIN" not in scripts or _ALIKE.isdisjoint(scripts):
        return
    alike = False
    for at, script in enumerate(scripts, word.start()):
        alike = alike if script == "COMBINING" else script in _ALIKE
        if alike:
            shown[at] = False


@lru_cache(maxsize=4_096)
def _script(char: str) -> str:
    """The first word of a character's name."""
    return unicodedata.name(char, "").partition(" ")[0]


def _cluster(text: str) -> list[bool]:
    first = not hidden(text[0]) and not _is_mark(text[0])
    marks = len(text) - 1
    if not marks:
        return [first]
    fine = first and unicodedata.category(text[0])[0] == "L" and marks <= MAX_MARKS
    fine = fine and not any(hidden(mark) for mark in text[1:]) and len(set(text[1:])) == marks
    fine = fine and unicodedata.normalize("NFC", text) == text
    return [first, *[fine] * marks]


def _is_mark(char: str) -> bool:
    return unicodedata.category(char)[0] == "M"
