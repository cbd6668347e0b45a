"""Values: the type checker keeps them, and at run time they are plain."""

from dataclasses import replace

import pytest

from pdp.core.call.request import Bearer, SessionAsk


def change(credential: Bearer, session: SessionAsk) -> None:
    """`make types` fails where one of these is let pass, by `warn_unused_ignores`."""
    credential.token = "b"  # type: ignore[misc]
    session.id = "b"  # type: ignore[misc]


def test_a_value_is_compared_and_hashed_by_its_fields() -> None:
    one, same, other = SessionAsk("a"), replace(SessionAsk("b"), id="a"), SessionAsk("a", "a task")
    assert (one == same, hash(one) == hash(same), one == other) == (True, True, False)
    assert len({one, same, other}) == 2


def test_a_value_has_the_fields_of_its_class_alone() -> None:
    with pytest.raises(AttributeError):
        setattr(Bearer("a"), "note", "x")  # noqa: B010 - what no type checker would let pass
