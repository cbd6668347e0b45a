"""What a running process takes anew besides what its parts do: the server's certificate, and keys of signers."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.host.renewed_files import RenewedFiles, Take
from pdp.registry.keys import load_keys
from pdp.registry.load import SignedRegistry
from pdp.registry.options import RegistryOptions, ReleaseOptions
from pdp.registry.release import SignedReleases
from pdp.runtime.config.settings import Settings
from pdp.wire.grpc.options import TlsOptions
from pdp.wire.grpc.server_tls import ServerTls


def server_tls(options: TlsOptions | None, tls: ServerTls | None) -> tuple[RenewedFiles, ...]:
    """The server's certificate, key and client authorities."""
    if options is None or tls is None:
        return ()

    def prepare() -> Take:
        certificate = tls.read()

        async def take() -> None:
            tls.take(certificate)

        return take

    ca = options.client_ca_file
    files = (options.certificate_file, options.key_file, *(() if ca is None else (ca,)))
    return (RenewedFiles("server.tls", files, prepare),)


def signers_keys(
    settings: Settings, registry: SignedRegistry, releases: SignedReleases | None
) -> Iterator[RenewedFiles]:
    """The public keys of authors and reviewers: of sets of tools, and of releases of policy."""
    if settings.registry.keys:
        yield _of_signers("registry.keys", settings.registry, registry)
    if settings.release is not None and releases is not None:
        yield _of_signers("release.keys", settings.release, releases)


def _of_signers(
    name: str, options: RegistryOptions | ReleaseOptions, verifier: SignedRegistry | SignedReleases
) -> RenewedFiles:
    def prepare() -> Take:
        keys = load_keys(options)

        async def take() -> None:
            verifier.take_keys(keys)

        return take

    return RenewedFiles(name, tuple(each.public_key_file for each in options.keys), prepare)
