"""The peer that showed a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from cryptography import x509

from pdp.core.call.request import Peer
from pdp.core.check import NS

_KINDS: dict[type, str] = {
    x509.UniformResourceIdentifier: "uri",
    x509.DNSName: "dns",
    x509.RFC822Name: "email",
    x509.IPAddress: "ip",
}


@lru_cache(maxsize=256)  # a connection shows the same certificate with each of its calls
def certified_peer(pem: bytes) -> Peer:
    """The peer that showed a certificate, by its names and its end. It never raises: one whose certificate cannot be
    read proves nothing, and is refused, and recorded, at admission."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        return Peer("mtls", tuple(_sans(certificate)), until_ns=_end_ns(certificate))
    except Exception:  # noqa: BLE001 - a certificate may provoke any exception in its parser, and then has no names
        return Peer("mtls", (), unreadable=True)


def _end_ns(certificate: x509.Certificate) -> int:
    """The first instant at which a certificate is not valid any more; its last second still counts (RFC 5280,
    4.1.2.5)."""
    return (int(certificate.not_valid_after_utc.timestamp()) + 1) * NS


def _sans(certificate: x509.Certificate) -> Iterator[str]:
    """The names of a certificate, each with its type. Raises ValueError, and what else the parser raises, for one
    that could be read in two ways; names of other types are ignored."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    for name in names:
        if isinstance(name, x509.DirectoryName):
            if not all(str(attribute.value).isprintable() for attribute in name.value):
                raise ValueError("a control character in a name")
        elif kind := _KINDS.get(type(name)):
            text = str(name.value)
            if not text.isascii() or not text.isprintable():  # RFC 5280, 4.2.1.6: IA5String, so ASCII
                raise ValueError("a control character in a name, or one that is not ASCII")
            yield f"{kind}:{text}"
