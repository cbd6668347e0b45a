"""Page tokens: opaque, and good only for the list that they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib

from google.protobuf.message import Message

from pdp.core.approvals.queries import Page
from pdp.core.errors import InvalidRequest

DEFAULT_SIZE = 50
MAX_SIZE = 200
_MARK_BYTES = 12
_MAX_TOKEN = 512


def page(size: int, token: str, *bound: Message | str) -> Page:
    """Where to begin. `bound` is what the list was asked for. Raises InvalidRequest for a token of another list."""
    return Page(min(size or DEFAULT_SIZE, MAX_SIZE), _after(token, bound) if token else "")


def token(after: str, *bound: Message | str) -> str:
    """For the page after the row `after`; "" when there is none."""
    return base64.urlsafe_b64encode(_mark(bound) + after.encode()).decode() if after else ""


def _after(given: str, bound: tuple[Message | str, ...]) -> str:
    try:
        raw = base64.b64decode(given[:_MAX_TOKEN], altchars=b"-_", validate=True)
        after = raw[_MARK_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raw, after = b"", ""
    if not after or raw[:_MARK_BYTES] != _mark(bound):
        raise InvalidRequest("page_token", "is not one of this list; give next_page_token with the same filter")
    return after


def _mark(bound: tuple[Message | str, ...]) -> bytes:
    found = hashlib.sha256()
    for part in bound:
        data = part.encode() if isinstance(part, str) else part.SerializeToString(deterministic=True)
        found.update(len(data).to_bytes(4, "big") + data)
    return found.digest()[:_MARK_BYTES]
