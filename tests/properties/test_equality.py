"""What the product makes of the requests of the corpus is what it was, to the byte: `support.equal`, which also shows
one that differs, and records anew what is meant to."""

from __future__ import annotations

import pytest
from support.equal import REQUESTS, difference

SLICE = 300  # of one world, while you work


def test_the_first_requests_come_to_what_they_came_to() -> None:
    assert not difference(0, SLICE)


@pytest.mark.parametrize("world", range(1))
def test_every_request_comes_to_what_it_came_to(world: int) -> None:
    assert not difference(world, REQUESTS)
