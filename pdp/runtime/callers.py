"""Wiring of what gateways, hooks and AuthZEN ask by. What needs the MCP SDK or the client is loaded only where it is
served."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pdp.core.ports import Clock, Entropy
from pdp.host.http_api import api_tls
from pdp.host.http_listener import listener_tls
from pdp.runtime.config.settings import Settings
from pdp.wire.authzen.access import AccessRequests
from pdp.wire.authzen.rest import AuthzenRest
from pdp.wire.grpc.server import ServedBeside
from pdp.wire.grpc.servicer import Services

if TYPE_CHECKING:
    from pdp.wire.hooks.listener import HookListener


def check(settings: Settings) -> None:
    """Read what the section names, and open nothing. Raises ConfigurationFault."""
    if settings.hooks is not None:
        listener_tls(settings.hooks, "hooks")


def check_authzen(settings: Settings) -> None:
    """The same of AuthZEN."""
    if settings.authzen is not None:
        api_tls(settings.authzen, settings.authzen.client_ca_file, "authzen")


def beside(
    settings: Settings, services: Services, clock: Clock, entropy: Entropy, index_key: bytes
) -> Sequence[ServedBeside]:
    """The calls of gateways and of AuthZEN on the port of the API."""
    return (*_gateways(settings, services, clock, entropy), *_access(settings, services, index_key))


def _access(settings: Settings, services: Services, index_key: bytes) -> Sequence[ServedBeside]:
    options = settings.authzen
    if options is None or not options.grpc:
        return ()
    from pdp.wire.authzen.rpc import AccessServicer  # noqa: PLC0415 - its stubs are loaded only where it is served

    return (AccessServicer(AccessRequests(services, options, index_key), services.admission),)


def _gateways(settings: Settings, services: Services, clock: Clock, entropy: Entropy) -> Sequence[ServedBeside]:
    if settings.gateways is None:
        return ()
    from pdp.wire.gateways.deciding import Deciding  # noqa: PLC0415 - see above
    from pdp.wire.gateways.ext_authz import Authorization  # noqa: PLC0415 - likewise
    from pdp.wire.gateways.ext_mcp import ExtMcp  # noqa: PLC0415 - likewise

    deciding = Deciding(services, settings.gateways, clock, entropy)
    return Authorization(deciding), ExtMcp(deciding)


def hooks(
    settings: Settings, services: Services, clock: Clock, entropy: Entropy, answers: Callable[[], bool]
) -> HookListener | None:
    """The listener of hooks over HTTP, not yet started; None where none is configured. Raises ConfigurationFault."""
    if settings.hooks is None:
        return None
    from pdp.wire.hooks.listener import HookListener  # noqa: PLC0415 - see above

    return HookListener(settings.hooks, listener_tls(settings.hooks, "hooks"), services, clock, entropy, answers)


def authzen(settings: Settings, services: Services, entropy: Entropy, index_key: bytes) -> AuthzenRest | None:
    """AuthZEN's listener, likewise."""
    options = settings.authzen
    if options is None:
        return None
    tls = api_tls(options, options.client_ca_file, "authzen")
    return AuthzenRest(AccessRequests(services, options, index_key), services.admission, entropy, tls)
