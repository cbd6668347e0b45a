"""Prompts as values: which sections speak, and what a digest covers."""

from dataclasses import replace
from typing import Any

import pytest
from support.for_each import for_each
from support.judge import BASE, MATTER, PROMPTS, READING, SENDING, matter

from pdp.core.call.facts import Annotations, Sink, TargetFact
from pdp.core.check import Check
from pdp.core.judge.judge_input import SINK_KINDS, Traits
from pdp.core.judge.prompt import PromptSet, ToolSelector, UnknownPrompt

OK = Check("ok", "")


@for_each(
    ("way", "holds"),
    [
        ({"servers": ("mail",)}, True),
        ({"servers": ("mailbox", "m*l")}, True),
        ({"servers": ("mai",)}, False),
        ({"tools": ("se*",)}, True),
        ({"tools": ("SEND",)}, False),
        ({"risks": ("low", "medium")}, True),
        ({"risks": ("high",)}, False),
        ({"permissions": ("*:send",)}, True),
        ({"permissions": ("mail",)}, False),
        ({"sinks": ("email",)}, True),
        ({"sinks": ("network",)}, False),
        ({"annotations": {"read_only": False, "destructive": False}}, True),
        ({"annotations": {"read_only": False, "destructive": True}}, False),
        ({"servers": ("mail",), "tools": ("read",)}, False),
        ({"servers": ("mail",), "tools": ("read", "send")}, True),
    ],
)
def test_every_entry_of_a_way_holds_and_one_value_of_each(way: dict[str, Any], holds: bool) -> None:
    assert ToolSelector(**way).holds(MATTER) is holds


def test_one_way_is_enough() -> None:
    section = replace(SENDING, applies_to=(ToolSelector(servers=("other",)), ToolSelector(tools=("send",))))
    assert section.applies(MATTER)
    assert not replace(section, applies_to=section.applies_to[:1]).applies(MATTER)


def test_sections_come_by_id_and_only_those_of_the_prompt() -> None:
    both = replace(READING, applies_to=(ToolSelector(servers=("*",)),))
    own = replace(SENDING, id="own", prompts=("other",))
    prompts = PromptSet({"fit": BASE, "other": replace(BASE, id="other")}, (SENDING, own, both))
    assert [s.id for s in prompts.sections_for("fit", MATTER)] == ["reads", "sends"]
    assert [s.id for s in prompts.sections_for("other", MATTER)] == ["own", "reads", "sends"]


def test_traits_are_those_of_the_manifest_and_the_worst_of_what_failed() -> None:
    hints = Annotations(read_only=True, destructive=False)
    target = TargetFact(OK, "tool:t", "tool", "t", "s", "low", ("p",), (), (Sink("email", "/to"),), hints)
    assert Traits.of(target) == Traits("low", ("p",), ("email",), hints)
    failed = Traits.of(replace(target, check=Check("failed", "tool.unknown")))
    assert failed == Traits("critical", (), SINK_KINDS, Annotations())
    assert Annotations() == Annotations(read_only=False, destructive=True, idempotent=False, open_world=True)
    assert matter(traits=Traits()).traits.risk == "critical"


def test_an_unknown_prompt_is_a_fault() -> None:
    with pytest.raises(UnknownPrompt) as caught:
        PROMPTS.prompt("other")
    assert caught.value.code == "judge.prompt"


CHANGES = {
    "base text": ({"fit": replace(BASE, text="x")}, (SENDING, READING)),
    "settings": ({"fit": replace(BASE, settings={})}, (SENDING, READING)),
    "budget": ({"fit": replace(BASE, data_tokens=1)}, (SENDING, READING)),
    "version": ({"fit": replace(BASE, version="2")}, (SENDING, READING)),
    "a section": ({"fit": BASE}, (SENDING, replace(READING, text="x"))),
    "where a section applies": ({"fit": BASE}, (SENDING, replace(READING, applies_to=()))),
    "a section less": ({"fit": BASE}, (SENDING,)),
}


@for_each("changed", CHANGES.values())
def test_a_digest_covers_all_that_a_prompt_is_made_of(changed: Any) -> None:
    assert PromptSet(*changed).digests()["fit"] != PROMPTS.digests()["fit"]


def test_a_digest_is_of_its_own_prompt_and_of_no_order() -> None:
    other = replace(READING, id="own", prompts=("other",))
    more = PromptSet({"other": replace(BASE, id="other"), "fit": BASE}, (READING, other, SENDING))
    assert more.digests()["fit"] == PROMPTS.digests()["fit"]
    assert list(more.digests()) == ["fit", "other"]
