"""JSON Pointers (RFC 6901) that are fit to be shown: the names in arguments are the caller's words too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from pdp.core.patterns import secret_in

_PLAIN = re.compile(r"[A-Za-z_$@][A-Za-z0-9_.$@:-]{0,63}\Z")
MASK = "*"  # stands for a name that is not shown


def pointer(path: Iterable[str | int], shown: Callable[[str], bool]) -> str:
    """Encode a path; names for which `shown` is false become `*`."""
    return "".join(f"/{_segment(part, shown)}" for part in path)


def harmless(name: str) -> bool:
    """A name that looks like one and holds no credential."""
    return _PLAIN.match(name) is not None and secret_in(name) is None


def _segment(part: str | int, shown: Callable[[str], bool]) -> str:
    if isinstance(part, int):
        return str(part)
    return part.replace("~", "~0").replace("/", "~1") if shown(part) else MASK
