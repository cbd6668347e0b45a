"""Wiring of the console: an optional extra, imported only where it is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pdp.core.errors import ConfigurationFault
from pdp.core.ports import Clock, Directories, Entropy, Passkeys
from pdp.core.record.stored import Proof
from pdp.people.assembly import ApprovalServices
from pdp.people.console.options import ConsoleOptions
from pdp.proof.receipt import text
from pdp.proof.records import Records
from pdp.runtime.config.settings import Settings
from pdp.runtime.secrets.reference import secret

if TYPE_CHECKING:
    from pdp.people.console.server import ConsoleServer


def passkeys(options: ConsoleOptions | None, directories: Directories) -> Passkeys | None:
    """The verifier of passkeys. They belong to the console's address; None without a console."""
    if options is None:
        return None
    _extra()
    from pdp.people.console.passkeys import ConsolePasskeys  # noqa: PLC0415 - an extra

    return ConsolePasskeys(options, directories)


def check(settings: Settings) -> None:
    """Read what the section names, and open nothing. Raises ConfigurationFault."""
    if settings.console is not None:
        _extra()
        from pdp.people.console.server import check as usable  # noqa: PLC0415 - an extra

        usable(settings.console, production=settings.production)
        _secrets(settings.console, settings)


def server(  # noqa: PLR0913, PLR0917 - what it rests on
    settings: Settings,
    approvals: ApprovalServices,
    clock: Clock,
    entropy: Entropy,
    key: bytes,
    records: Records,
    marks: Mapping[str, Mapping[str, str]],
) -> ConsoleServer | None:
    """The console's listener, not yet started; None where none is configured. `marks`: by issuer, claims by which
    sign-ins are revoked. Raises ConfigurationFault."""
    options = settings.console
    if options is None:
        return None
    _extra()
    from pdp.people.console.server import ConsoleServer  # noqa: PLC0415 - an extra
    from pdp.people.console.visit import ConsoleServices  # noqa: PLC0415

    services = ConsoleServices(approvals, clock, entropy, records, _receipt, marks)
    secrets = _secrets(options, settings)
    return ConsoleServer(options, services, key=key, secrets=secrets, production=settings.production)


def _receipt(proof: Proof) -> str:
    return text(proof.number, proof.hashes, proof.head.note)


def _secrets(options: ConsoleOptions, settings: Settings) -> dict[str, bytes]:
    return {
        each.name: secret(
            each.client_secret, settings.vault, where=f"console.providers[{i}].client_secret", at_least=1
        )
        for i, each in enumerate(options.providers)
        if each.client_secret
    }


def _extra() -> None:
    try:
        import starlette  # noqa: F401, PLC0415
        import webauthn  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigurationFault(
            "console.distribution",
            "The section console needs Starlette and others; "
            "install the extras server and console from the repository.",
        ) from None
