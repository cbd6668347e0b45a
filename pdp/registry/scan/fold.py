"""Text as a model reads it, whatever it looks like: one spelling for the rules to match.

A phrase is lower-case ASCII words between single spaces; hidden characters, look-alike letters, markup and
apostrophes are gone, and text hidden in tag characters stands where it was hidden.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

from pdp.registry.scan.rules import LOOKALIKES

_FOLDED = {ord(char): latin for latin, chars in LOOKALIKES.items() for char in chars}
_DROPPED = dict.fromkeys(
    code
    for first, last in (
        (0x0, 0x8), (0xE, 0x1F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x180E, 0x180E),
        (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
        (0xFFA0, 0xFFA0), (0xE0100, 0xE01EF),
    )
    for code in range(first, last + 1)
)  # fmt: skip
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_MARKUP = {ord(char): " " for char in '*_#>|~"`“”«»\\{}'} | {ord(char): None for char in "'\u2019\u2018"}
_SPACES = re.compile(r"\s+")
_BLOB = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{24,4096}={0,2}(?![A-Za-z0-9+/=_-])")
_ENTITY = re.compile(r"&(?:#\d{2,7}|#x[0-9A-Fa-f]{2,6});")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}){4}")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4}))")
_SPACED = re.compile(r"(?<![^\W_])[^\W\d_](?:[ .\-·]{1,2}[^\W\d_]){7,200}(?![^\W_])")
_READABLE = 0.9


def letters(text: str) -> str:
    """`text` with look-alike letters as the Latin ones they are drawn like, nothing hidden, lower case."""
    if text.isascii():
        return text.translate(_DROPPED).lower()
    shown = text.translate(_DROPPED).translate(_TAGS)
    folded = unicodedata.normalize("NFKD", shown).translate(_FOLDED)
    return "".join(char for char in folded if not unicodedata.combining(char)).lower()


def phrase(text: str) -> str:
    """The words of `text` between single spaces; names like `read_file` become words too."""
    return _SPACES.sub(" ", letters(text).translate(_MARKUP)).strip()


def decoded(text: str) -> Iterator[str]:
    """What is spelled in `text` some other way: base64, character references, percent signs, escapes, letters
    held apart. Only what reads as text."""
    for match in _BLOB.finditer(text):
        if (plain := _base64(match[0])) is not None:
            yield plain
    if _ENTITY.search(text):
        yield html.unescape(text)
    if _PERCENT.search(text):
        yield unquote(text, errors="replace")
    if _ESCAPE.search(text):
        yield _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), text)
    for match in _SPACED.finditer(text):
        yield re.sub(r"[ .\-·]", "", match[0])


def _base64(blob: str) -> str | None:
    padded = blob.rstrip("=").translate({0x2D: "+", 0x5F: "/"})
    try:
        plain = base64.b64decode(padded + "=" * (-len(padded) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    readable = sum(char.isalpha() or char in " .,:;/-_'\n" for char in plain)
    return plain if " " in plain and readable >= _READABLE * len(plain) else None
