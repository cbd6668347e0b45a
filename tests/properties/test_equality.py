"""What the product makes of the corpus's requests is what it was, to the byte; `support.equal` shows what differs."""

from __future__ import annotations

from support.equal.corpus import WORLDS, difference
from support.for_each import for_each

FIRST = 150  # requests of a world


@for_each("world", range(2))
def test_the_first_requests_come_to_what_they_came_to(world: int) -> None:
    assert not difference(world, FIRST)


@for_each("world", range(WORLDS))
def test_every_request_comes_to_what_it_came_to(world: int) -> None:
    assert not difference(world)
