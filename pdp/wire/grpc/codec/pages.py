"""Page tokens: opaque, and valid only for the list that issued them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TypeAlias

from pdp.core.approvals.queries import Page
from pdp.core.errors import InvalidRequest
from pdp.v1 import approval_pb2, audit_pb2, consent_pb2

DEFAULT_SIZE = 50
MAX_SIZE = 200
_MARK_BYTES = 12
_MAX_TOKEN = 512
ListRequest: TypeAlias = (
    approval_pb2.ListApprovalsRequest
    | approval_pb2.ListGrantsRequest
    | audit_pb2.SearchRecordsRequest
    | consent_pb2.ListConsentsRequest
)


def page(request: ListRequest) -> Page:
    """The page that is requested. Raises InvalidRequest for the token of another list."""
    return Page(min(request.page_size or DEFAULT_SIZE, MAX_SIZE), _after(request) if request.page_token else "")


def token(after: str, request: ListRequest) -> str:
    """The token of the page after the row `after`; "" without one."""
    return base64.urlsafe_b64encode(_mark(request) + after.encode()).decode() if after else ""


def _after(request: ListRequest) -> str:
    try:
        raw = base64.b64decode(request.page_token[:_MAX_TOKEN], altchars=b"-_", validate=True)
        after = raw[_MARK_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raw, after = b"", ""
    if not after or raw[:_MARK_BYTES] != _mark(request):
        raise InvalidRequest("page_token", "is not one of this list; give next_page_token with the same filter")
    return after


def _mark(request: ListRequest) -> bytes:
    """Digest of a list's filter: the request without credential, size and token."""
    bare = type(request).FromString(request.SerializeToString())
    for name in ("credential", "page_size", "page_token", "with_records"):
        if name in bare.DESCRIPTOR.fields_by_name:
            bare.ClearField(name)  # type: ignore[arg-type] # of this message
    content = bare.DESCRIPTOR.full_name.encode() + bare.SerializeToString(deterministic=True)
    return hashlib.sha256(content).digest()[:_MARK_BYTES]
