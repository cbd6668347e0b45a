"""Readers of token claims by their standard shapes: RFC 7519 (registered claims), RFC 8693 (`scope`).

A claim of the wrong shape raises MalformedClaim: nothing is guessed, converted or dropped, for a lost fact could
loosen an answer. Imports the standard library alone, because the client reads tokens with it too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from pdp.core.bytes.compact import Refusal

Claims = Mapping[str, Any]
_SCOPE = re.compile(r"[!#-\[\]-~]+")  # RFC 6749 section 3.3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MAX_TEXT = 512  # characters of one identifier
_MAX_SECONDS = (2**63 - 1) // 10**9  # the last instant that int64 nanoseconds can name
_MAX_ITEMS = 1000


class MalformedClaim(Exception):
    """A claim of the wrong shape."""

    def __init__(self, claim: str, must: str) -> None:
        super().__init__(claim)
        self.claim = claim
        self.must = must

    def refusal(self) -> Refusal:
        return Refusal("claims", f"claim `{self.claim}` must be {self.must}; correct it at the issuer")


def text(claims: Claims, name: str) -> str | None:
    """An identifier: a string of 1 to 512 characters without control characters. None when absent."""
    if name not in claims:
        return None
    value = claims[name]
    if not _is_text(value):
        raise MalformedClaim(name, f"a string of 1 to {MAX_TEXT} characters without control characters")
    return str(value)


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        return False
    return _CONTROL.search(value) is None


def texts(claims: Claims, name: str) -> tuple[str, ...]:
    """An array of identifiers, without repetitions, in order. Empty when absent."""
    value = claims.get(name, [])
    if not isinstance(value, list) or len(value) > _MAX_ITEMS or not all(map(_is_text, value)):
        raise MalformedClaim(name, f"an array of at most {_MAX_ITEMS} non-empty strings")
    return tuple(dict.fromkeys(value))


def audiences(claims: Claims) -> tuple[str, ...]:
    """`aud`: one string or an array of them (RFC 7519 section 4.1.3). Empty when absent."""
    if isinstance(claims.get("aud"), str):
        return (text(claims, "aud") or "",)
    return texts(claims, "aud")


def seconds(claims: Claims, name: str, *, up: bool = False) -> int | None:
    """A NumericDate in whole seconds, rounded down, or `up`. None when absent."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_SECONDS:
        raise MalformedClaim(name, "a time in seconds since 1970")
    return math.ceil(value) if up else math.floor(value)


def scopes(claims: Claims) -> tuple[str, ...]:
    """`scope` (RFC 8693 section 4.2), or `scp` as a string or an array, as some issuers have it. If a token has
    both, they must be equal."""
    values = [_scopes(claims, name) for name in ("scope", "scp") if name in claims]
    if len(values) == 2 and set(values[0]) != set(values[1]):
        raise MalformedClaim("scp", "the same as `scope`, or absent")
    return values[0] if values else ()


def _scopes(claims: Claims, name: str) -> tuple[str, ...]:
    value = claims[name]
    tokens = value.split(" ") if isinstance(value, str) else value if name == "scp" else None
    if not isinstance(tokens, list) or len(tokens) > _MAX_ITEMS:
        raise MalformedClaim(name, "a string of scopes separated by spaces")
    if isinstance(value, str):
        tokens = [token for token in tokens if token]
    if not all(isinstance(t, str) and _SCOPE.fullmatch(t) for t in tokens):
        raise MalformedClaim(name, "scopes of printable ASCII without quotes and backslashes")
    return tuple(dict.fromkeys(tokens))
