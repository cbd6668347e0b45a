"""The feature `authzen`: its section, its listener, and its calls on the port of the API."""

from __future__ import annotations

import ssl
from dataclasses import replace
from functools import partial

from pdp.host.feature import Feature, Ports
from pdp.host.listener_tls import listener_tls
from pdp.host.part import Part
from pdp.wire.authzen.options import AuthzenOptions


def _wire(options: AuthzenOptions, ports: Ports) -> Part:
    from pdp.wire.authzen.access import AccessRequests  # noqa: PLC0415 - loaded only where it is served
    from pdp.wire.authzen.rest import AuthzenRest  # noqa: PLC0415 - likewise
    from pdp.wire.grpc.servicer import Services  # noqa: PLC0415 - likewise

    services, tls = ports.of(Services), partial(_tls, options)
    access = partial(AccessRequests, services, options, ports.index_key)
    listener = AuthzenRest(access(), services.admission, ports.entropy, tls())
    ca = () if options.client_ca_file is None else (options.client_ca_file,)
    part = listener.renewing("authzen", options.pair and (*options.pair, *ca), tls)
    if not options.grpc:
        return part
    from pdp.wire.authzen.rpc import AccessServicer  # noqa: PLC0415 - its stubs are loaded only where it is served

    return replace(part, serves=(AccessServicer(access(), services.admission),))


def _tls(options: AuthzenOptions, _: object = None) -> ssl.SSLContext | None:
    return listener_tls(options, "authzen", options.client_ca_file)


FEATURE = Feature(
    "authzen",
    AuthzenOptions,
    "Lets callers ask by OpenID AuthZEN, on a listener of its own; absent: they may not.",
    _wire,
    _tls,
)
