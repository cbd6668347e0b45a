"""Texts that nothing interprets: kept, or shown as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def whole(text: str) -> Iterator[str]:
    """The findings of a plain text."""
    if _CONTROL.search(text):
        yield "control"
