"""Names that people type: the nearest known name, and host names of this machine. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from ipaddress import ip_address

_LIKENESS = 0.6  # of `difflib`: `git_staus` is like `git_status`, `push` is not


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name most like `name`, or an empty string."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=_LIKENESS)
    return close[0] if close else ""


def did_you_mean(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest name, or `otherwise`."""
    name_meant = nearest(name, names)
    return f"Did you mean `{name_meant}`?" if name_meant else otherwise


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, or a literal loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
