"""The peer of a call, as the transport verified it.

Names come from the certificate itself (`x509_pem_cert`), never from gRPC's `peer_dns` and `peer_uri`: those pass
through C strings and end at a NUL, so that a certificate for `gw` NUL `.evil.example` would be one for `gw`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import grpc.aio
from cryptography import x509

from pdp.core.check import NS
from pdp.core.request import Peer

Context = grpc.aio.ServicerContext[Any, Any]

_KINDS: dict[type, str] = {
    x509.UniformResourceIdentifier: "uri",
    x509.DNSName: "dns",
    x509.RFC822Name: "email",
    x509.IPAddress: "ip",
}
_AUTHORIZATION = "authorization"
_SURFACE = "pdp-surface"


def peer_of(context: Context) -> Peer:
    """The peer of a call. It never raises: a peer that proves nothing is refused, and recorded, at admission.

    Several `authorization` values are joined as HTTP joins them (RFC 9110, 5.2), which no scheme of ours accepts.
    """
    proved = context.auth_context()
    values = [v for k, v in context.invocation_metadata() or () if k == _AUTHORIZATION]
    authorization = ", ".join(v if isinstance(v, str) else v.decode("latin-1") for v in values)
    if next(iter(proved.get("transport_security_type", ())), b"") != b"ssl":
        # the server listens in plaintext nowhere else
        kind = "unix" if context.peer().startswith("unix:") else "loopback"
        return Peer(kind, (), authorization)
    if "x509_pem_cert" not in proved:
        return Peer("tls", (), authorization)
    try:
        sans, until_ns = _read(b"".join(proved["x509_pem_cert"]))
        return Peer("mtls", sans, authorization, until_ns=until_ns)
    except Exception:  # noqa: BLE001 - whatever a certificate makes of its parser, it names nobody
        return Peer("mtls", (), authorization, unreadable=True)


def surface_of(context: Context) -> str:
    """By what a person acts, as the client says: for the record, and good for nothing else."""
    said = [v for k, v in context.invocation_metadata() or () if k == _SURFACE]
    return "cli" if said == ["cli"] else "grpc"


@lru_cache(maxsize=256)  # a connection shows the same certificate with each of its calls
def _read(pem: bytes) -> tuple[tuple[str, ...], int]:
    """The names of a certificate, and its end. Raises what `_sans` and the parser raise."""
    certificate = x509.load_pem_x509_certificate(pem)
    return tuple(_sans(certificate)), _end_ns(certificate)


def _end_ns(certificate: x509.Certificate) -> int:
    """The first instant at which a certificate is not valid any more; its last second still counts (RFC 5280,
    4.1.2.5)."""
    return (int(certificate.not_valid_after_utc.timestamp()) + 1) * NS


def _sans(certificate: x509.Certificate) -> Iterator[str]:
    """The names of a certificate, each with its type. Raises ValueError, and what else the parser raises, for one
    that could be read in two ways; names of other types than ours are nobody's here."""
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
