"""The feature `hooks`: its section, and the listener of hooks over HTTP."""

from __future__ import annotations

from functools import partial

from pdp.host.feature import Feature, Ports
from pdp.host.listener_tls import listener_tls
from pdp.host.part import Part
from pdp.wire.hooks.options import HookOptions


def _wire(options: HookOptions, ports: Ports) -> Part:
    from pdp.wire.grpc.servicer import Services  # noqa: PLC0415 - it and the client are loaded only where it is served
    from pdp.wire.hooks.listener import HookListener  # noqa: PLC0415 - likewise

    tls = partial(listener_tls, options, "hooks")
    listener = HookListener(options, tls(), ports.of(Services), ports.clock, ports.entropy, ports.answers)
    return listener.renewing("hooks", options.pair, tls)


FEATURE = Feature(
    "hooks",
    HookOptions,
    "Lets agents ask by HTTP hooks, on a listener of its own; absent: they may not.",
    _wire,
    lambda options, _: listener_tls(options, "hooks"),
)
