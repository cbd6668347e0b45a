"""Mandates on a terminal: what is in force, what each step may do, and how often it did."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from pdp.cli.connection import word
from pdp.cli.render.requests import inert, item, when
from pdp.v1 import mandate_pb2

_SAID = {
    "fixed": "one of {}",
    "chosen": "one of {}",
    "slot": "what a result of {} holds",
    "made": "a {} that the agent computes",
    "any": "any text",
    "optional": "left out",
}


def mandates(listed: Iterable[mandate_pb2.Mandate]) -> RenderableType:
    """A list of mandates."""
    return Group(*(_mandate(each) for each in listed))


def _mandate(it: mandate_pb2.Mandate) -> RenderableType:
    playbook = it.source_ref.partition("@")[0]
    state = word(mandate_pb2.MandateState, it.state)
    end = f"until {when(it.expires_at)}"
    if it.HasField("ended_at"):
        end = f"{it.ended_by.replace('_', ' ')}, {when(it.ended_at)}"
    refused = f", refused by a judge: {it.refused}" if it.refused else ""
    lines = [line for number, step in enumerate(it.steps, 1) for line in _step(number, step)]
    head = Text.assemble(inert(playbook), f": {state}, ", inert(end), refused)
    return item(head, Text("\n").join(lines), inert(it.mandate_id))


def _step(number: int, step: mandate_pb2.MandateStep) -> Iterator[Text]:
    made = f", {step.called} of {step.max_calls} made"
    yield Text.assemble(f"{number}. ", inert(step.tool), " on ", inert(step.server), made)
    for pointer, binding in sorted(json.loads(step.arguments_json).items()):
        said = {"any": True} if binding == "any" else binding
        ways = [_SAID[how].format(_values(said[how])) for how in sorted(said)] or ["nothing"]
        yield Text.assemble("   ", inert(pointer), ": ", inert(", or ".join(ways)))


def _values(said: object) -> str:
    values = said if isinstance(said, list) else [said]
    return ", ".join(each if isinstance(each, str) else json.dumps(each) for each in values)
