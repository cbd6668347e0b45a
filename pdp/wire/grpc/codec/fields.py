"""Presence, shape and size of single fields. A refusal names the field's proto path, never its value."""

from __future__ import annotations

import string
from collections.abc import Callable, Collection
from ipaddress import ip_address
from operator import attrgetter
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from pdp.core.bytes.digest import INT64_MAX
from pdp.core.errors import InvalidRequest

# limits, in characters unless they say bytes; pdp.content has its own for JSON
MAX_REQUEST_ID = 128
MAX_ID = 512  # servers, tools, sessions, calls, agents, subjects
MAX_URI = 4_096
MAX_FOLDER = 4_096  # as long as Linux takes a path
MAX_WORD = 128  # methods, versions, kinds of obligations, digests
MAX_TOKEN = 32_768  # tokens and handles
MAX_TASK = 32_768
MAX_OBSERVATION = 262_144
MAX_REASON = 1_000
MAX_JSON_BYTES = 262_144
MAX_ARGUMENTS_BYTES = 4 * MAX_JSON_BYTES  # `content.max_arguments_bytes` is what counts; it goes no higher
MAX_DEFINITIONS = 2_000
MAX_OBLIGATIONS = 64
MAX_CLIENT_ANSWERS = 64

NS = 1_000_000_000
_MAX_SECONDS = 253_402_300_799  # 9999-12-31T23:59:59Z, the end of google.protobuf.Timestamp
_ASCII = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")
_MISSING = "is missing"
_INVISIBLE = "holds control or invisible characters; send printable ones only"


class Bound(NamedTuple):
    """The limits of one field of a message."""

    read: Callable[[Any], Any]  # of the message that has the field: str or bytes
    path: str  # from the request
    limit: int
    unit: str
    printable: bool
    mandatory: bool


def name_at(path: str, limit: int = MAX_ID, *, mandatory: bool = False) -> Bound:
    """See `name`."""
    return Bound(_reader(path), path, limit, "characters", True, mandatory)


def text_at(path: str, limit: int) -> Bound:
    """See `text`."""
    return Bound(_reader(path), path, limit, "characters", False, False)


def data_at(path: str, limit: int = MAX_JSON_BYTES) -> Bound:
    """See `data`."""
    return Bound(_reader(path), path, limit, "bytes", False, False)


def whole(*bounds: Bound) -> tuple[Bound, ...]:
    """The same bounds, of a request: each field is read along its path."""
    return tuple([bound._replace(read=attrgetter(bound.path)) for bound in bounds])


def _reader(path: str) -> Callable[[Any], Any]:
    return attrgetter(path.rpartition(".")[2])


def check(message: Message, bounds: tuple[Bound, ...]) -> None:
    """Check fields of a message in this order. Raises InvalidRequest for the first that breaks its bound."""
    for read, path, limit, unit, printable, mandatory in bounds:
        value = read(message)
        if not value:
            if mandatory:
                raise InvalidRequest(path, _MISSING)
        elif len(value) > limit:
            raise InvalidRequest(path, f"is longer than {limit} {unit}")
        elif printable and not value.isprintable():
            raise InvalidRequest(path, _INVISIBLE)


def request_id(value: str) -> str:
    """1 to 128 printable ASCII characters."""
    if not value:
        raise InvalidRequest("request_id", "is missing; send a new id, such as a UUID, with every request")
    if len(value) > MAX_REQUEST_ID or not _ASCII.issuperset(value):
        raise InvalidRequest("request_id", f"must be 1 to {MAX_REQUEST_ID} printable ASCII characters")
    return value


def name(value: str, field: str, *, limit: int = MAX_ID, mandatory: bool = False) -> str:
    """An id or a word: printable, so that it looks like itself in every log and on every screen."""
    if not value:
        if mandatory:
            raise InvalidRequest(field, _MISSING)
        return value
    if len(value) > limit:
        raise InvalidRequest(field, f"is longer than {limit} characters")
    if not value.isprintable():
        raise InvalidRequest(field, _INVISIBLE)
    return value


def text(value: str, field: str, limit: int) -> str:
    """Free text, bounded."""
    if len(value) > limit:
        raise InvalidRequest(field, f"is longer than {limit} characters")
    return value


def data(value: bytes, field: str, limit: int = MAX_JSON_BYTES) -> bytes:
    """JSON bytes, bounded; what is in them is `pdp.content`'s to judge."""
    if len(value) > limit:
        raise InvalidRequest(field, f"is longer than {limit} bytes")
    return value


def words(values: Collection[str], field: str, most: int) -> tuple[str, ...]:
    """A list of at most `most` words, none of them empty."""
    if not values:
        return ()
    count(values, field, most)
    for i, value in enumerate(values):
        name(value, f"{field}[{i}]", limit=MAX_WORD, mandatory=True)
    return tuple(values)


def count(values: Collection[object], field: str, limit: int) -> None:
    """Refuse a list with more than `limit` items."""
    if len(values) > limit:
        raise InvalidRequest(field, f"has more than {limit} items")


def address(value: str, field: str) -> str:
    """An IP address without port, or nothing."""
    if value:
        try:
            ip_address(name(value, field, limit=MAX_WORD))
        except ValueError:
            raise InvalidRequest(field, "must be an IPv4 or IPv6 address without port") from None
    return value


def instant_ns(value: Timestamp, field: str) -> int:
    """A timestamp as Unix nanoseconds; one that 64 bits cannot name, from 2262 on, is as late as they can."""
    if not 0 <= value.seconds <= _MAX_SECONDS or not 0 <= value.nanos < NS:
        raise InvalidRequest(field, "is not an instant from 1970 to 9999")
    return min(value.seconds * NS + value.nanos, INT64_MAX)


def timestamp(at_ns: int) -> Timestamp:
    """Unix nanoseconds as a timestamp."""
    return Timestamp(seconds=at_ns // NS, nanos=at_ns % NS)
