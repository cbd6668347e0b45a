"""Names: the nearest known name to a typed one, and loopback hosts. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from ipaddress import ip_address

_SHORT = 4  # characters; in a shorter name another letter makes another name
_LIKENESS = 0.6  # of `difflib`: `git_staus` is like `git_status`, `push` is not


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name most like `name`, or an empty string."""
    close = difflib.get_close_matches(name, sorted(names), n=1, cutoff=_LIKENESS)
    return close[0] if close else ""


def did_you_mean(name: str, names: Iterable[str], otherwise: str = "") -> str:
    """A hint with the nearest name, or `otherwise`."""
    name_meant = nearest(name, names)
    return f"Did you mean `{name_meant}`?" if name_meant else otherwise


def slip(name: str, other: str) -> bool:
    """Whether two names differ by a typing slip: capitals, a letter more or less, two exchanged, or another letter
    inside. Names that differ by a digit or at their ends are distinct."""
    one, two = sorted((name.casefold(), other.casefold()), key=len)
    if name == other or len(two) - len(one) > 1 or len(one) < _SHORT:
        return name != other and one == two
    at = next((i for i, pair in enumerate(zip(one, two, strict=False)) if pair[0] != pair[1]), len(one))
    if len(one) < len(two):
        return one[at:] == two[at + 1 :] and two[at].isalpha()
    exchanged = one[at + 2 :] == two[at + 2 :] and one[at : at + 2] == two[at : at + 2][::-1]
    inside = 0 < at < len(one) - 1 and one[at + 1 :] == two[at + 1 :] and (one[at] + two[at]).isalpha()
    return exchanged or inside


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: `localhost`, or a literal loopback address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
