"""Redactions of a result, as the `redact` obligation orders them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

REDACT = "redact"  # the obligation


def redacted(result: Any, redactions: Sequence[Mapping[str, Any]]) -> Any:
    """The result with each place replaced: a JSON Pointer (RFC 6901), and within a text only the spans (start, end;
    characters), if any. Raises LookupError, TypeError, ValueError for a place that does not exist."""
    for each in redactions:
        *path, last = [part.replace("~1", "/").replace("~0", "~") for part in each["pointer"].split("/")]
        if not path:
            raise LookupError("the whole result")
        around = result
        for part in path[1:]:
            around = around[_key(around, part)]
        key = _key(around, last)
        around[key] = _without(around[key], each.get("spans"), each["replacement"])
    return result


def _key(around: Any, part: str) -> Any:
    return int(part) if isinstance(around, list) else part


def _without(value: Any, spans: Any, replacement: str) -> str:
    if not isinstance(replacement, str):
        raise TypeError("no text")
    if spans is None:
        return replacement
    if not isinstance(value, str):
        raise TypeError("no text")
    for start, end in sorted(spans, reverse=True):
        if not 0 <= start <= end <= len(value):
            raise ValueError("no such span")
        value = value[:start] + replacement + value[end:]
    return str(value)
