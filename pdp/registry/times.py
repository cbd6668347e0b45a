"""Instants in registry documents: RFC 3339, UTC, whole seconds, one spelling only."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

from pdp.core.check import NS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z", re.ASCII)


@lru_cache(maxsize=4096)
def parse_ns(text: str) -> int:
    """Unix nanoseconds. Raises ValueError for anything but `YYYY-MM-DDTHH:MM:SSZ`."""
    if not _SHAPE.match(text):
        raise ValueError("is not an instant like 2030-01-31T00:00:00Z")
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("is not an instant like 2030-01-31T00:00:00Z") from None
    return ((at - _EPOCH) // timedelta(seconds=1)) * NS


def render(at_ns: int) -> str:
    """The instant, rounded down to the second."""
    return (_EPOCH + timedelta(seconds=at_ns // NS)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _checked(text: str) -> str:
    parse_ns(text)
    return text


RFC3339 = Annotated[str, AfterValidator(_checked)]
