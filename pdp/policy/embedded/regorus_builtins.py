"""Builtins of regorus that answer otherwise than OPA, made equal by extensions (docs/engine-differences.md).

An extension takes the builtin's place. What it raises becomes an evaluation error, as in OPA with strict builtin
errors; it cannot return "undefined". It is called with Python values made from Rego values: text, numbers, lists.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeGuard

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_CIDR = re.compile(r"([0-9A-Fa-f:.]+)/([0-9]{1,3})")
_MAPPED = 96  # bits of ::ffff:0:0, the part of IPv6 that stands for IPv4
# Letters with case since Unicode 16 and 17; not every Python and not every OPA knows them
_LATER = re.compile("[\u1c89\u1c8a\ua7cb-\ua7cf\ua7d2\ua7d4\ua7da-\ua7dc\U00010d50-\U00010d85\U00016ea0-\U00016ed3]")


def lower(text: object) -> str:
    """Letter by letter, as Go does: regorus knows letters that become two (İ) and the sigma at the end of a word."""
    return "".join(map(_lower, _known(text)))


def upper(text: object) -> str:
    """Letter by letter, as Go does: regorus writes ß as SS."""
    return "".join(map(_upper, _known(text)))


def cidr_contains(cidr: object, other: object) -> bool:
    """Whether an address or a range lies in `cidr`. An IPv4 address written as IPv6 (::ffff:10.0.0.1) is one and the
    same; regorus takes it for another, so a range of internal addresses would not hold it."""
    network = _network(cidr)
    if not isinstance(other, str):
        raise TypeError("net.cidr_contains needs text")
    if "/" in other:
        inner = _network(other)
        return inner.version == network.version and inner.subnet_of(network)  # type: ignore[arg-type]  # same version
    return _address(other) in network


def indexof(text: object, part: object) -> int:
    """The place of a text in another, in characters, or -1; nothing has no place."""
    if not isinstance(text, str) or not isinstance(part, str) or not part:
        raise ValueError("indexof needs text, and text to look for")
    return text.find(part)


def substring(text: object, start: object, length: object) -> str:
    """Characters from `start` on: as many as there are when `length` is negative."""
    if not isinstance(text, str) or not _is_whole(start) or not _is_whole(length) or start < 0:
        raise ValueError("substring needs text, a place in it and a whole number")
    return text[start:] if length < 0 else text[start : start + length]


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


EXTENSIONS: Mapping[str, tuple[int, Callable[..., object]]] = MappingProxyType(
    {
        "lower": (1, lower),
        "upper": (1, upper),
        "net.cidr_contains": (2, cidr_contains),
        "indexof": (2, indexof),
        "substring": (3, substring),
    }
)


def _known(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("text is needed")
    if not text.isascii() and (_LATER.search(text) or any(unicodedata.category(c) == "Cn" for c in text)):
        raise ValueError("a letter that not every engine knows")
    return text


def _lower(letter: str) -> str:
    return letter.lower()[0]  # only İ becomes two: i and a dot


def _upper(letter: str) -> str:
    changed = letter.upper()
    if len(changed) > 1:
        changed = letter.title()  # what becomes one letter as a title has that as its simple capital
    return changed if len(changed) == 1 and not _LATER.match(changed) else letter


def _address(text: str) -> Address:
    if "%" in text:
        raise ValueError("a zone is no part of an address")
    found = ipaddress.ip_address(text)
    return getattr(found, "ipv4_mapped", None) or found


def _network(cidr: object) -> Network:
    parts = _CIDR.fullmatch(cidr) if isinstance(cidr, str) else None
    if parts is None:
        raise ValueError("not a range of addresses")
    found = ipaddress.ip_network((ipaddress.ip_address(parts[1]), int(parts[2])), strict=False)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is not None and found.prefixlen >= _MAPPED:
        return ipaddress.ip_network((mapped, found.prefixlen - _MAPPED))
    return found
