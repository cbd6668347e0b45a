"""What a provider says about its limits, and when to ask it again."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

_PARTS = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_LONGEST = 3600.0  # seconds; a provider that wants more is asked again after that


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds until the endpoint may be asked again, and what is left until its counters start anew. None: unsaid."""

    wait_s: float | None = None
    requests_left: int | None = None
    requests_reset_s: float | None = None
    tokens_left: int | None = None
    tokens_reset_s: float | None = None


def read_limits(headers: Mapping[str, str], wall_s: float) -> Limits:
    """`retry-after-ms`, `retry-after` (seconds or a date) and `x-ratelimit-*`; what cannot be read is unsaid.
    `wall_s` is Unix time."""
    exact = _number(headers.get("retry-after-ms", ""))
    return Limits(
        wait_s=exact / 1000 if exact is not None else _after(headers.get("retry-after", ""), wall_s),
        requests_left=_whole(headers.get("x-ratelimit-remaining-requests", "")),
        requests_reset_s=_span(headers.get("x-ratelimit-reset-requests", "")),
        tokens_left=_whole(headers.get("x-ratelimit-remaining-tokens", "")),
        tokens_reset_s=_span(headers.get("x-ratelimit-reset-tokens", "")),
    )


class Throttle:
    """Remembers until when an endpoint wants to be left alone by a tenant, and how much it takes until then."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._until = 0.0
        self._tokens_left: int | None = None
        self._tokens_until = 0.0

    def told(self, limits: Limits) -> None:
        """Take in what came with an answer or a refusal."""
        now = self._monotonic()
        if limits.wait_s is not None:
            self._until = max(self._until, now + min(limits.wait_s, _LONGEST))
        if limits.requests_left == 0 and limits.requests_reset_s is not None:
            self._until = max(self._until, now + min(limits.requests_reset_s, _LONGEST))
        if limits.tokens_left is not None and limits.tokens_reset_s is not None:
            self._tokens_left = limits.tokens_left
            self._tokens_until = now + min(limits.tokens_reset_s, _LONGEST)

    def wait_s(self, tokens: int) -> float:
        """How long a request of about `tokens` should wait; 0 for not at all."""
        now = self._monotonic()
        until = self._until
        if self._tokens_left is not None and tokens > self._tokens_left:
            until = max(until, self._tokens_until)
        return max(0.0, until - now)


def _after(text: str, wall_s: float) -> float | None:
    if (seconds := _number(text)) is not None:
        return seconds
    try:
        at = parsedate_to_datetime(text)
        return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - wall_s)
    except (ValueError, OverflowError):
        return None


def _span(text: str) -> float | None:
    """Such as `1s`, `6m0s`, `20ms`, or a plain number of seconds."""
    text = text.strip()
    if (seconds := _number(text)) is not None:
        return seconds
    parts = _PARTS.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\s*\d{1,9}(\.\d{1,9})?\s*", text, re.ASCII) else None


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"\s*\d{1,12}\s*", text, re.ASCII) else None
