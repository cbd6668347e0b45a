"""Names that people type: the known one that a wrong one is most like. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_LIKENESS = 0.6  # of `difflib`: `git_staus` is like `git_status`, `push` is not


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name most like `name`, or an empty string."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_LIKENESS)
    return close[0] if close else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest name, or `otherwise`."""
    found = nearest(name, known)
    return f"Did you mean `{found}`?" if found else otherwise
