"""Wiring of sessions on Redis, whose driver is an extra and is loaded only where they lie there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pdp.core.bytes.digest import former_keys, keyed_index
from pdp.runtime.foundation import Foundation
from pdp.runtime.secrets.reference import secret
from pdp.sessions.options import redis_missing

if TYPE_CHECKING:
    from pdp.sessions.on_redis import RedisSessions


def shared_sessions(process: Foundation) -> RedisSessions | None:
    """The sessions of the store's processes on Redis, where they lie there. Raises ConfigurationFault."""
    settings, store, index_key = process.settings, process.store, process.index_key
    options = settings.sessions.redis
    if options is None:
        return None
    try:
        from pdp.sessions.on_redis import RedisSessions  # noqa: PLC0415 - its driver is an extra
    except ModuleNotFoundError:
        raise redis_missing() from None
    reference = options.password
    where = "sessions.redis.password"
    password = secret(reference, settings.vault, where=where, at_least=1) if reference else b""

    def namespace(key: bytes) -> str:
        return keyed_index(key, "redis", store.origin)[:16]

    sessions = RedisSessions(
        options,
        namespace(index_key),
        process.environment.entropy,
        password=password,
        former=tuple((namespace(key), later) for key, later in former_keys(index_key)),
        on_loss=lambda: process.telemetry.count("pdp.sessions.lost", {}),
    )
    store.keep_sessions(sessions)
    return sessions
