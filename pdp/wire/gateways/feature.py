"""The feature `gateways`: its section, and the calls of gateways on the port of the API."""

from __future__ import annotations

from pdp.host.feature import Feature, Ports
from pdp.host.part import Part
from pdp.wire.gateways.options import GatewayOptions


def _wire(options: GatewayOptions, ports: Ports) -> Part:
    from pdp.wire.gateways.deciding import Deciding  # noqa: PLC0415 - its stubs are loaded only where it is served
    from pdp.wire.gateways.ext_authz import Authorization  # noqa: PLC0415 - likewise
    from pdp.wire.gateways.ext_mcp import ExtMcp  # noqa: PLC0415 - likewise
    from pdp.wire.grpc.servicer import Services  # noqa: PLC0415 - likewise

    deciding = Deciding(ports.of(Services), options, ports.clock, ports.entropy)
    return Part("gateways", serves=(Authorization(deciding), ExtMcp(deciding)))


FEATURE = Feature(
    "gateways",
    GatewayOptions,
    "Lets gateways ask by their own calls, on the same port; absent: they may not.",
    _wire,
)
