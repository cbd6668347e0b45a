"""A small language for phrases, compiled to linear regular expressions over `fold.phrase`.

A phrase pattern is a regular expression over lower-case words between single spaces, in which `{NAME}` stands for
a set of words of `rules.toml` and `~n` for up to n words of the same sentence. Words are bounded and separated by
exactly one space, so nothing backtracks further than n words.
"""

from __future__ import annotations

import re

from pdp.registry.scan.normalize import letters
from pdp.registry.scan.rules import SETS

_GAP = r"(?:[^ ]{{0,39}}[^ .!?;] ){{0,{}}}"
_USES = re.compile(r"\{([A-Z_]+)\}")


def compiled(pattern: str) -> re.Pattern[str]:
    """A phrase pattern as a regular expression, anchored at word boundaries."""
    while _USES.search(pattern):
        pattern = _USES.sub(lambda use: SETS[use[1]], pattern)
    pattern = re.sub(r"~(\d{1,2}) ?", lambda gap: _GAP.format(gap[1]), pattern)
    if not pattern.isascii():
        pattern = letters(pattern)  # another language's phrase, folded as the texts are
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})")
