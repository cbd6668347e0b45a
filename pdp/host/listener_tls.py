"""TLS of listeners: contexts from certificate files, and trust in client certificates."""

from __future__ import annotations

import ssl
from pathlib import Path

from pdp.core.errors import ConfigurationFault
from pdp.host.options import ListenerOptions


def server_tls(certificate_file: Path, key_file: Path, named: str) -> ssl.SSLContext:
    """The TLS context of a listener; `named` names the two files in messages.

    Raises ConfigurationFault `config.tls`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # never ask at a terminal
        context.load_cert_chain(certificate_file, key_file, password=lambda: "")
    except (OSError, ValueError):
        raise ConfigurationFault("config.tls", f"{named} must be PEM, a pair, and without a password.") from None
    return context


def listener_tls(options: ListenerOptions, named: str, client_ca_file: Path | None = None) -> ssl.SSLContext | None:
    """The TLS context of the configuration's section `named`; None for plaintext. With `client_ca_file` a client may
    present a certificate of that authority; other clients authenticate by token."""
    if options.pair is None:
        return None
    context = server_tls(*options.pair, f"{named}: certificate_file and key_file")
    if client_ca_file is not None:
        trust_clients(context, client_ca_file, named)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def trust_clients(context: ssl.SSLContext, client_ca_file: Path, named: str) -> None:
    """Let `context` accept certificates that the authorities in this PEM file have signed. Raises ConfigurationFault
    `config.tls`."""
    try:
        context.load_verify_locations(client_ca_file)
    except OSError:
        raise ConfigurationFault("config.tls", f"{named}.client_ca_file: holds no PEM certificate.") from None
