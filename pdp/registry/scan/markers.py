"""Marks that chat formats and prompts give meaning to: a description that holds one speaks in another's name."""

from __future__ import annotations

from collections.abc import Iterator

from pdp.core.control_tokens import control_tokens
from pdp.registry.scan.finding import Rule, excerpt_of
from pdp.registry.scan.rules import shape

TAG = Rule(
    "marker.tag",
    "high",
    "A tag that makes text look like orders from the system. A description needs none; read what it encloses.",
)
TURN = Rule("marker.turn", "high", "Marks of a chat format, which begin a turn in another's name. Have them removed.")

_TAG = shape("tag")
_TURN = shape("turn")


def markers(bare: str) -> Iterator[tuple[Rule, str]]:
    """Each rule that holds of a text without hidden characters, in lower case."""
    if (tag := _TAG.search(bare)) is not None:
        yield TAG, excerpt_of(bare, *tag.span())
    turn = _TURN.search(bare)
    if (span := turn.span() if turn is not None else next(control_tokens(bare), None)) is not None:
        yield TURN, excerpt_of(bare, *span)
