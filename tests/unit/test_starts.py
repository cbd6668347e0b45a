"""What `make quick` leaves out is found in the code of the tests."""

import importlib

from support import starts
from support.for_each import for_each


@for_each("name", sorted(starts.STARTERS))
def test_every_starter_is_still_there(name: str) -> None:
    module, _, function = name.partition(":")
    assert hasattr(importlib.import_module(module), function)


def test_a_world_is_found_through_helpers_and_arithmetic_is_not() -> None:
    world = importlib.import_module("support.world")
    assert starts._reaches(world.running)
    assert starts._reaches(world.serving)
    assert not starts._reaches(world.codes)
