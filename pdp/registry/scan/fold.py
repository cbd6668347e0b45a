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

# Cyrillic, Greek, Armenian, Cherokee and Latin letters that are drawn like a Latin one. Ours, from the letters'
# shapes; NFKC takes care of fullwidth and mathematical alphabets.
_LOOKALIKES = {
    "a": "аɑα", "b": "Ьᖯƅ", "c": "сϲᴄ", "d": "ԁɗ", "e": "еєҽ℮", "f": "ſƒ", "g": "ɡցɢ", "h": "һհн", "i": "іıɩιӏ",
    "j": "јϳ", "k": "кκᴋ", "l": "ⅼ", "m": "мᴍ", "n": "ոпηɴ", "o": "оοօσο", "p": "рρ", "q": "ԛգ", "r": "гᴦɾ",
    "s": "ѕꜱ", "t": "тτᴛ", "u": "υսᴜ", "v": "νѵᴠ", "w": "ԝшωѡᴡ", "x": "хχ×", "y": "уүγʏ", "z": "ᴢʐ",
}  # fmt: skip
_FOLDED = {ord(char): latin for latin, chars in _LOOKALIKES.items() for char in chars if len(char) == 1}
_CAPITALS = {"А": "a", "В": "b", "С": "c", "Е": "e", "Н": "h", "І": "i", "Ј": "j", "К": "k", "М": "m", "О": "o", "Р": "p",
             "Ѕ": "s", "Т": "t", "У": "y", "Х": "x", "Α": "a", "Β": "b", "Ε": "e", "Ζ": "z", "Η": "h", "Ι": "i", "Κ": "k",
             "Μ": "m", "Ν": "n", "Ο": "o", "Ρ": "p", "Τ": "t", "Υ": "y", "Χ": "x"}  # fmt: skip
_FOLDED.update({ord(char): latin for char, latin in _CAPITALS.items()})
_DROPPED = dict.fromkeys(
    [0xAD, 0x34F, 0x61C, 0x115F, 0x1160, 0x180E, 0x3164, 0xFEFF, 0xFFA0, *range(0x200B, 0x2010), *range(0x202A, 0x202F),
     *range(0x2060, 0x2070), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), *range(0x9), *range(0xE, 0x20)]
)  # fmt: skip
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
_MARKUP = {ord(char): " " for char in '*_#>|~"`“”«»\\{}'} | {ord(char): None for char in "'’‘"}
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
