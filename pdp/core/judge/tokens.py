"""How many tokens a text takes, roughly. Pure, and the same everywhere: budgets are kept in these.

Every provider cuts text in its own way, and their vocabularies are large files. What they share is the first step,
and that is counted here: one token is up to eight letters with a sign or space before them, up to three digits, up to
three other signs, a run of spaces and line breaks, or a character outside ASCII. It lies near what common tokenizers
count for English prose and JSON, above it for other scripts, and below it for long random letters.
"""

from __future__ import annotations

import re
from itertools import islice

_TOKEN = re.compile(
    r"[^A-Za-z0-9\r\n\x80-\U0010ffff]?[A-Za-z]{1,8}"
    r"|[0-9]{1,3}"
    r"| ?[!-/:-@\[-`{-~]{1,3}"
    r"|[ \t]*[\r\n][\s]*|[ \t]+"
    r"|[\x00-\x1f\x7f-\U0010ffff]"
)


def tokens(text: str) -> int:
    """The estimate, 0 for nothing. Linear in the text."""
    return sum(1 for _ in _TOKEN.finditer(text))


def within(limit: int, *texts: str) -> bool:
    """Whether the texts together take at most `limit` tokens; what lies far beyond is not looked at."""
    left = limit
    for text in texts:
        left -= sum(1 for _ in islice(_TOKEN.finditer(text), left + 1))
        if left < 0:
            return False
    return True
