"""Where the client may connect, and how. Plaintext never leaves the machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import grpc
import grpc.aio

UNIX = "unix:"
MAX_CALLS = 240  # at once on a connection; a server takes `server.max_streams`, 256 unless it says otherwise

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.enable_retries", 0),  # retries are this client's, with the same request id and within the deadline
    ("grpc.enable_http_proxy", 0),  # a variable of the environment must not reroute decisions
    ("grpc.service_config_disable_resolution", 1),  # nor a TXT record change how calls are made
    # a connection of its own: on one that channels share, their calls would add up
    ("grpc.use_local_subchannel_pool", 1),
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


def bound(max_calls: int) -> int:
    """Raises ValueError for a number of calls that admits none."""
    if max_calls < 1:
        raise ValueError("max_calls: must be 1 or more")
    return max_calls


def threaded(target: str, tls: Tls | None) -> grpc.Channel:
    """A channel for threads. Raises PlaintextRefusedError."""
    check(target, tls)
    if tls is None:
        return grpc.insecure_channel(_fixed(target), list(OPTIONS))
    return grpc.secure_channel(_fixed(target), tls.credentials(), list(OPTIONS))


def asynchronous(target: str, tls: Tls | None) -> grpc.aio.Channel:
    """A channel for the running loop. Raises PlaintextRefusedError."""
    check(target, tls)
    if tls is None:
        return grpc.aio.insecure_channel(_fixed(target), list(OPTIONS))
    return grpc.aio.secure_channel(_fixed(target), tls.credentials(), list(OPTIONS))


def check(target: str, tls: Tls | None) -> None:
    """Raises PlaintextRefusedError unless `target` is a Unix socket, a literal loopback address, or TLS is given."""
    if tls is None and not _local(target):
        raise PlaintextRefusedError(
            "plaintext is only used for unix:PATH, 127.0.0.1:PORT and [::1]:PORT; give tls=Tls(...) for others"
        )


def beside(target: str, folder: Path) -> str:
    """The target, with the path of a Unix socket taken from `folder` where it is relative."""
    path = target.removeprefix(UNIX)
    if path == target or not path or path.startswith("/"):
        return target
    return f"{UNIX}{folder / path}"


def _fixed(target: str) -> str:
    """The same place wherever the process goes later."""
    return beside(target, Path.cwd())


def _local(target: str) -> bool:
    if target.startswith(UNIX):
        path = target.removeprefix(UNIX)
        return bool(path) and not (path.startswith("//") and not path.startswith("///"))
    host, _, port = target.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        # a name is whatever the resolver says today, "localhost" too
        return port.isdigit() and ip_address(bare).is_loopback and (":" in bare) == (bare != host)
    except ValueError:
        return False
