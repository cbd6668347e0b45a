"""Validity periods of signed documents and certificates, with warnings before they end. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pdp.core.check import NS

Kind: TypeAlias = Literal["set", "waivers", "release", "certificate", "authorities"]

_WORDS: Mapping[Kind, tuple[str, str]] = {
    "set": ("the signed set", "sign it again: `pdp tools sign --renew`, as author and as reviewer"),
    "waivers": ("the document of waivers", "sign it again with `pdp tools sign`, as author and as reviewer"),
    "release": (
        "the release of policy",
        "sign it again: `pdp policy release sign --renew`, as author and reviewer",
    ),
    "certificate": ("the certificate", "give a new one, and restart"),
    "authorities": ("the authorities' certificate", "give a new one, and restart"),
}
_HOUR_NS, _DAY_NS = 3600 * NS, 86_400 * NS
_SOON_NS = 7 * _DAY_NS


@dataclass(frozen=True, slots=True)
class Term:
    """A validity period from `from_ns` until `until_ns`. `path` is the setting that names it, as in
    `registry.sets.acme`."""

    kind: Kind
    path: tuple[str, ...]
    from_ns: int
    until_ns: int

    def left_seconds(self, at_ns: int) -> float:
        """Seconds until the end; negative afterwards."""
        return (self.until_ns - at_ns) / NS

    def holds(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns < self.until_ns

    def warning(self, at_ns: int) -> str:
        """The warning: not valid now, or only a week left (of a short term, a third); "" while there is time. The
        text changes once a day, towards the end once an hour."""
        what, renew = _WORDS[self.kind]
        left = self.until_ns - at_ns
        if at_ns < self.from_ns:
            return f"{what} does not hold yet; look at the clock, or {renew}"
        if left <= 0:
            return f"{what} has expired; {renew}"
        if left >= min(_SOON_NS, (self.until_ns - self.from_ns) // 3):
            return ""
        days, hours = left // _DAY_NS, left // _HOUR_NS
        soon = f"in {days} days" if days > 1 else f"in {hours} hours" if hours > 1 else "within two hours"
        return f"{what} expires {soon}; {renew}"
