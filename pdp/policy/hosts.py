"""Which engines a process has, by its configuration."""

from __future__ import annotations

from collections.abc import Callable

from pdp.core.errors import ConfigurationFault
from pdp.policy.embedded.engine import EngineHost
from pdp.policy.embedded.options import EmbeddedOptions
from pdp.policy.opa.options import OpaOptions
from pdp.policy.source import Host
from pdp.ports import Entropy


def deciding(
    opa: OpaOptions | None,
    embedded: EmbeddedOptions,
    entropy: Entropy,
    token: bytes,
    watch_seconds: float,
    on_kill: Callable[[str], None],
) -> Host:
    """The host of the engine that decides: OPA where there are options for it. Raises ConfigurationFault."""
    if opa is None:
        return EngineHost(embedded, on_kill=on_kill)
    try:
        from pdp.policy.opa.host import OpaHost  # noqa: PLC0415 - an extra, and half a second of imports
    except ImportError:
        raise ConfigurationFault(
            "engine.distribution", "policy.engine: opa needs opa-python-client; install pdp[server,opa]."
        ) from None
    return OpaHost(
        opa, entropy, token=token, memory_mb=embedded.memory_bytes >> 20, watch_seconds=watch_seconds, on_kill=on_kill
    )


def replaying(host: Host, opa: OpaOptions | None, embedded: EmbeddedOptions) -> Host:
    """The host of engines for policies as they once were. An OPA that somebody else runs holds one bundle, the one in
    force; every other is replayed on the embedded engine, which answers alike (docs/engine-differences.md)."""
    return EngineHost(embedded) if opa is not None and opa.url else host
