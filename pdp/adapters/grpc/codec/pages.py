"""Page tokens: opaque, and good only for the list that they came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeAlias

from pdp.core.approvals.queries import Page
from pdp.core.errors import InvalidRequest
from pdp.v1 import approval_pb2, consent_pb2

DEFAULT_SIZE = 50
MAX_SIZE = 200
_MARK_BYTES = 12
_MAX_TOKEN = 512
Asked: TypeAlias = (
    approval_pb2.ListApprovalsRequest | approval_pb2.ListGrantsRequest | consent_pb2.ListConsentsRequest
)


def page(asked: Asked) -> Page:
    """Where to begin. Raises InvalidRequest for the token of another list."""
    return Page(min(asked.page_size or DEFAULT_SIZE, MAX_SIZE), _after(asked) if asked.page_token else "")


def token(after: str, asked: Asked) -> str:
    """For the page after the row `after`; "" when there is none."""
    return base64.urlsafe_b64encode(_mark(asked) + after.encode()).decode() if after else ""


def _after(asked: Asked) -> str:
    try:
        raw = base64.b64decode(asked.page_token[:_MAX_TOKEN], altchars=b"-_", validate=True)
        after = raw[_MARK_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raw, after = b"", ""
    if not after or raw[:_MARK_BYTES] != _mark(asked):
        raise InvalidRequest("page_token", "is not one of this list; give next_page_token with the same filter")
    return after


def _mark(asked: Asked) -> bytes:
    """What a list is asked for: all but who asks, and where it begins."""
    bare = type(asked).FromString(asked.SerializeToString())
    bare.ClearField("credential")
    bare.ClearField("page_size")
    bare.ClearField("page_token")
    said = bare.DESCRIPTOR.full_name.encode() + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(said).digest()[:_MARK_BYTES]
