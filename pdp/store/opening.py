"""Opens the store that the options name."""

from __future__ import annotations

from typing import TypeAlias

from pdp.core.errors import ConfigurationFault
from pdp.ports import Entropy
from pdp.store.options import StoreOptions
from pdp.store.postgres.store import PostgresStore
from pdp.store.sqlite import SqliteStore

AnyStore: TypeAlias = SqliteStore | PostgresStore


def open_store(options: StoreOptions, *, entropy: Entropy, password: bytes = b"") -> AnyStore:
    """PostgreSQL where `url` is set, else SQLite; faults as their `open` says. Blocks; meant for start-up."""
    if options.url is None:
        return SqliteStore.open(options, entropy=entropy)
    try:
        return PostgresStore.open(options, entropy=entropy, password=password)
    except ModuleNotFoundError:
        raise postgres_missing() from None


def postgres_missing() -> ConfigurationFault:
    """What is to be installed."""
    return ConfigurationFault(
        "store.distribution", "store.url: PostgreSQL needs pg8000; install pdp[server,postgres]."
    )
