"""An attack on what an erasure left: 10,000 names are tried against every byte, with the service's keys at hand."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence

from pdp.core.bytes.digest import canonical, keyed_index

CANDIDATES = 10_000

_WORDS = re.compile(rb"[\w.@+-]{4,}")
_HEX = re.compile(rb"[0-9a-f]{64}")
_PATHS = ("input", "arguments", "token_id", "reason", "grant")


def candidates(*known: str) -> list[str]:
    """So many names of the sort that a directory has, with those that are known to be among them."""
    first = ("ann", "bea", "cid", "dan", "eva", "fox", "gus", "hal", "ida", "jan")
    made = [f"{first[n % 10]}.{n // 10:04d}@corp.example" for n in range(CANDIDATES)]
    return [*made[len(known) :], *known]


def found(data: bytes, names: Sequence[str], issuer: str, key: bytes, tenant: str) -> set[str]:
    """The names that something in the bytes tells of: in clear, by a hash, or by an index under the service's key."""
    words, hexes = set(_WORDS.findall(data)), set(_HEX.findall(data))
    return {
        name
        for name in names
        if name.encode() in words or any(guess in hexes for guess in _guesses(name, issuer, key, tenant))
    }


def _guesses(name: str, issuer: str, key: bytes, tenant: str) -> Iterable[bytes]:
    plain = canonical(name)
    for text in (name.encode(), plain):
        yield hashlib.sha256(text).hexdigest().encode()
        yield hmac.digest(key, text, "sha256").hex().encode()
    for path in _PATHS:
        yield hmac.digest(b"", path.encode() + b"\0" + plain, "sha256").hex().encode()
        yield hmac.digest(key, path.encode() + b"\0" + plain, "sha256").hex().encode()
    for kind, place in (("subject", issuer), ("subject", ""), ("human", ""), ("name", "")):
        yield keyed_index(key, kind, tenant, place, name).encode()
