"""The addresses of PostgreSQL that a configuration may have."""

from __future__ import annotations

import pytest

from pdp.store.options import PostgresAddress
from tests.support.for_each import for_each


@for_each(
    ("url", "servers"),
    [
        ("postgresql://pdp@db/pdp", (("db", 5432),)),
        ("postgresql://pdp@a:1,b,[::1]:3/pdp", (("a", 1), ("b", 5432), ("::1", 3))),
        ("postgresql://pdp@/pdp?host=/run/postgresql", (("/run/postgresql", 5432),)),
        ("postgresql://pdp@:7/pdp?host=/run/postgresql", (("/run/postgresql", 7),)),
    ],
)
def test_servers_are_read_in_their_order(url: str, servers: tuple[tuple[str, int], ...]) -> None:
    assert PostgresAddress.read(url).servers == servers


@for_each(
    "url",
    [
        "postgresql://pdp@a,,b/pdp",
        "postgresql://pdp@a,/pdp",
        "postgresql://pdp@a:x,b/pdp",
        "postgresql://pdp@a:99999,b/pdp",
        "postgresql://pdp@:1,:2/pdp?host=/run/postgresql",
        "postgresql://pdp@a,b/pdp?host=/run/postgresql",
        "postgresql://pdp@a,b/pdp?target_session_attrs=any",
        "postgresql://pdp:secret@a,b/pdp",
    ],
)
def test_what_names_no_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        PostgresAddress.read(url)
