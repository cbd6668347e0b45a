"""Where the client may connect, and how. Plaintext never leaves the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import grpc

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),  # retries are this client's, with the same request id and within the deadline
    ("grpc.enable_http_proxy", 0),  # a variable of the environment must not reroute decisions
    ("grpc.service_config_disable_resolution", 1),  # nor a TXT record change how calls are made
    ("grpc.max_receive_message_length", 64 << 20),  # lists of tools are long
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


class PlaintextRefusedError(ValueError):
    """The target would be reached without TLS over a network."""


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS by PEM bytes. Without `ca` gRPC's roots; with `certificate` and `key` the caller shows its own."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both or neither")

    @staticmethod
    def from_files(
        ca: str | Path | None = None, certificate: str | Path | None = None, key: str | Path | None = None
    ) -> Tls:
        """Read the PEM files. Raises OSError."""
        ca_pem, certificate_pem, key_pem = (
            None if p is None else Path(p).read_bytes() for p in (ca, certificate, key)
        )
        return Tls(ca_pem, certificate_pem, key_pem)

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


def check(target: str, tls: Tls | None) -> None:
    """Raises PlaintextRefusedError unless `target` is a Unix socket, a literal loopback address, or TLS is given."""
    if tls is None and not _local(target):
        raise PlaintextRefusedError(
            "plaintext is only used for unix:/PATH, 127.0.0.1:PORT and [::1]:PORT; give tls=Tls(...) for others"
        )


def _local(target: str) -> bool:
    if target.startswith("unix:"):
        path = target.removeprefix("unix:")
        return path.startswith("/") and not (path.startswith("//") and not path.startswith("///"))
    host, _, port = target.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        # a name is whatever the resolver says today, "localhost" too
        return port.isdigit() and ip_address(bare).is_loopback and (":" in bare) == (bare != host)
    except ValueError:
        return False
