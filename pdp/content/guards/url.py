"""URLs, read as browsers and careless clients read them: which host is asked, and whether a person would see that.

Hosts are judged by their text: names are never resolved, so a public name that leads to an internal address is not
seen. Public suffixes come from the list inside `publicsuffixlist`, addresses from `ipaddress`, names from `idna`.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from urllib.parse import unquote

import idna
from confusable_homoglyphs import confusables
from publicsuffixlist import PublicSuffixList

from pdp.content.guards.codes import UNPARSED

_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):")
_WEB = frozenset({"http", "https", "ws", "wss"})
_METADATA = {
    *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"),
    *("metadata.google.internal", "metadata", "instance-data", "metadata.azure.internal", "metadata.tencentyun.com"),
    *("metadata.packet.net", "metadata.platformequinix.com", "api.metadata.cloud.ibm.com"),
}
_INTERNAL = (
    ".local",
    ".internal",
    ".localdomain",
    ".localhost",
    ".intranet",
    ".corp",
    ".home",
    ".lan",
    ".private",
    ".svc",
)
_LOCAL = frozenset({"localhost", "ip6-localhost", "ip6-loopback", "localhost4", "localhost6", "broadcasthost"})
# domains of which a name leads where it says, or to the host that asks, or from one to the other
_TO_ADDRESS = frozenset(
    {
        *("nip.io", "xip.io", "sslip.io", "traefik.me", "backname.io", "ip6.name"),
        *("localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "local.gd", "localho.st", "fuf.me"),
        *("1u.ms", "rbndr.us", "rebind.network", "rebind.it"),
    }
)
_NESTED = re.compile(
    r"(?:https?|ftp|gopher|dict|ldaps?|ws|file)(?::|%3a)(?:[/\\]|%2f|%5c){2}([^/\\?#&%\s]+)", re.IGNORECASE
)
_NESTED_ADDRESS = re.compile(r"(?<![\w.])(\d{1,3}(?:\.\d{1,3}){3})(?![\w.])")
_PORTS = frozenset({21, 22, 23, 25, 110, 135, 139, 143, 389, 445, 514, 873, 1433, 1521, 2049, 2375, 2376, 2379, 3306})
_MORE_PORTS = frozenset({3389, 4444, 5432, 5900, 5984, 5985, 6379, 6443, 8500, 9200, 10250, 11211, 27017, 50070})
_KNOWN_ENDS = frozenset({"com", "org", "net", "gov", "edu", "io", "co", "de", "uk"})


@dataclass(frozen=True, slots=True)
class UrlParts:
    """What an authority holds. `host` is lower case, without brackets and final dots."""

    userinfo: str | None
    host: str
    written: str
    port: str


def whole(text: str) -> Iterator[str]:
    """The findings of a URL."""
    if re.search(r"[\x00-\x20\x7f]", text.strip(" ")) or re.search(
        r"%0[0-9a-d]|%20|%e5%98", _authority(text), re.IGNORECASE
    ):
        yield "control"
    if re.search(r"%0[da]|%e5%98%8[ad]|\u560a|\u560d|\\r|\\n", text, re.IGNORECASE):
        yield "control"
    plain = re.sub(r"[\t\r\n]", "", text).strip()
    scheme = _SCHEME.match(plain)
    if scheme is None:
        yield from _without_scheme(plain)
        return
    name, rest = scheme[1].lower(), plain[scheme.end() :]
    if name not in _WEB:
        yield "scheme"
    if not re.match(r"//[^/\\]", rest):
        yield "odd_slashes"
    if "\\" in re.split(r"[?#]", rest)[0]:
        yield "backslash"
    yield from _of_authority(rest)


def _without_scheme(text: str) -> Iterator[str]:
    """What stands for a URL without a scheme: a path of the same host, or another host that hides."""
    if re.match(r"[/\\〱〵ゝーｰ]{2,}|[/\\]+[^\w./?#~%-]|[/\\]+%(?:09|5c|2f)", text, re.IGNORECASE):
        yield "odd_slashes"
        yield from _of_authority(text)
    elif not re.match(r"/(?![/\\])[\w.~%/?#&=+-]*$", text):
        yield UNPARSED


def _authority(rest: str) -> str:
    """The authority, where a careless client sees it; a backslash ends it as a slash does."""
    after = re.sub(r"^(?:[a-zA-Z][\w+.-]*:)?[/\\]*", "", rest)
    return re.split(r"[/\\?#]", after, maxsplit=1)[0]


def _of_authority(rest: str) -> Iterator[str]:
    authority = _authority(rest)
    after = re.sub(r"^[/\\]*", "", rest)[len(authority) :]
    if re.match(r"[\\?#;&][^/]*@|\\", after) or authority.count("@") > 1:
        yield "userinfo"  # programs disagree where the authority ends
    parts = _parts(authority)
    if parts.userinfo is not None:
        yield "userinfo" if re.search(r"[.:%]|^$", parts.userinfo) else "user"
    if re.search(r"%[0-9a-f]{2}", parts.written, re.IGNORECASE):
        yield "encoded_host"
    if not parts.host:
        yield "invalid_host"
        return
    yield from _of_port(parts.port)
    yield from _of_host(parts)
    if any(_is_internal_host(host) for host in (*_NESTED.findall(after), *_NESTED_ADDRESS.findall(after))):
        yield "nested_internal"


def _parts(authority: str) -> UrlParts:
    userinfo, at, host = authority.rpartition("@")
    written = host
    host = unicodedata.normalize("NFKC", unquote(host)).replace("\u3002", ".").lower()
    bracketed = re.match(r"\[([^\]]*)\](?::(.*))?$", host)
    if bracketed is not None:
        name, port = bracketed[1], bracketed[2] or ""
    else:
        name, _, port = host.partition(":")
    return UrlParts(userinfo if at else None, name.rstrip(".") or name, written, port)


def _of_port(port: str) -> Iterator[str]:
    if port and not (port.isdecimal() and int(port) < 65_536):
        yield "invalid_host"
    elif port and int(port) in _PORTS | _MORE_PORTS:
        yield "service_port"


def _of_host(parts: UrlParts) -> Iterator[str]:
    host = parts.host
    address = _address(host)
    if address is not None:
        if host in _METADATA or str(address) in _METADATA:
            yield "metadata_host"
        if _is_internal(address):
            yield "internal_host"
        if str(address) != host and not (":" in host and ":" in str(address)):
            yield "odd_address"
        yield "address"
        return
    if host in _METADATA:
        yield "metadata_host"
    if _is_internal_name(host):
        yield "internal_host"
    yield from _of_name(host, parts.written)


def _is_internal_host(written: str) -> bool:
    """Whether an authority that stands within a URL is internal, for somebody who forwards to it."""
    host = _parts(written).host
    address = _address(host)
    return host in _METADATA or (_is_internal_name(host) if address is None else _is_internal(address))


def _is_internal_name(host: str) -> bool:
    """Whether a name leads to an internal address by what it is or says."""
    if host in _LOCAL or host.endswith(_INTERNAL) or ".".join(host.split(".")[-2:]) in _TO_ADDRESS:
        return True
    return re.search(r"(?:^|[.-])(?:127|10|192[.-]168|169[.-]254)[.-]\d+[.-]\d+", host) is not None


def _of_name(host: str, written: str) -> Iterator[str]:
    labels = host.split(".")
    try:
        ascii_host = idna.encode(host, uts46=True).decode() if not host.isascii() else host
        shown = idna.decode(ascii_host) if "xn--" in ascii_host else host
    except (idna.IDNAError, UnicodeError):
        yield "invalid_host"
        return
    if not re.fullmatch(r"[a-z0-9_][a-z0-9_.-]*", ascii_host) or not all(labels) or len(ascii_host) > 253:
        yield "invalid_host"
        return
    if not written.isascii() and host.isascii():
        yield "look_alike"  # compatibility characters that become plain letters, digits or dots
    if any(not label.isascii() and _poses(label) for label in shown.split(".")):
        yield "look_alike"
    suffix = _suffixes().publicsuffix(ascii_host, accept_unknown=False) if len(labels) > 1 else None
    if suffix is None:
        yield "internal_name"
        return
    own = _suffixes().privatesuffix(ascii_host) or ascii_host
    before = ascii_host.removesuffix(own).rstrip(".").split(".")
    if len(before) > 1 and before[-1] in _KNOWN_ENDS:
        yield "embedded_domain"


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _poses(label: str) -> bool:
    """Whether a label mixes scripts, or is spelled with nothing but letters that look like Latin ones."""
    return bool(confusables.is_dangerous(label)) or all(
        char.isascii() or confusables.is_confusable(char, preferred_aliases=["latin"]) for char in label
    )


# the first 96 bits of addresses whose last 32 are another one: compatible, translated, and by NAT64
_HOLDING_ANOTHER = frozenset(int(ipaddress.IPv6Address(each)) >> 32 for each in ("::", "::ffff:0:0:0", "64:ff9b::"))
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _address(host: str) -> Address | None:
    """The address that a host is, in whatever spelling: as C libraries and browsers read them."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    parts = host.split(".")
    if not 1 <= len(parts) <= 4 or not all(re.fullmatch(r"0x[0-9a-f]*|\d+", part) for part in parts):
        return None
    numbers = [_number(part) for part in parts]
    if any(each is None for each in numbers):
        return None
    *first, last = [each for each in numbers if each is not None]
    value = last + sum((each & 255) << (8 * (3 - at)) for at, each in enumerate(first))
    return ipaddress.IPv4Address(value & 0xFFFFFFFF)


def _number(part: str) -> int | None:
    if len(part) > 64:
        return None
    if part.startswith("0x"):
        return int(part[2:] or "0", 16)
    octal = len(part) > 1 and part[0] == "0" and set(part) <= set("01234567")
    return int(part, 8 if octal else 10)


def _is_internal(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        embedded = int(address) & 0xFFFFFFFF
        if inner is None and int(address) >> 32 in _HOLDING_ANOTHER and embedded > 1:
            inner = ipaddress.IPv4Address(embedded)
        if inner is not None:
            return not inner.is_global
    return not address.is_global or address.is_multicast
