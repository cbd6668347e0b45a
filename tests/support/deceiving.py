"""The characters by which a text looks like another, for tests of what people are shown."""

import unicodedata
from collections.abc import Iterator, Sequence

from pdp.core.text.safety import DEFAULT_IGNORABLE


def _deceptive() -> Iterator[str]:
    ignorable = {code for first, last in DEFAULT_IGNORABLE for code in range(first, last + 1)}
    for code in range(0x110000):
        if code in ignorable or unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp"):
            yield chr(code)


# all control, format, line and paragraph characters, and all that are ignored by default
DECEPTIVE = tuple(_deceptive())


def chunks(chars: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """So many at once."""
    return (chars[i : i + size] for i in range(0, len(chars), size))
