"""Playbooks: what a document says, what is refused, and which values of a task a step is bound to."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.bytes.digest import Json
from pdp.core.call.mandates import Binding, CatalogueTool, MandateStep
from pdp.core.call.playbooks import KINDS, PlaybookError, playbook
from pdp.core.call.task import of_task

DOCUMENT: Mapping[str, Any] = {
    "title": "Pay",
    "agents": ["a"],
    "minutes": 5,
    "steps": [{"tool": "bank/pay", "calls": 1, "arguments": {"/to": {"stated": "email"}, "/note": "any"}}],
}
STEP = DOCUMENT["steps"][0]
TOOL = CatalogueTool("aa", {"properties": {}}, outward=("/to",))


def planned(kind: str, task: str) -> Any:
    """What the step's argument is bound to; None without a plan."""
    step = {**STEP, "arguments": {"/to": {"stated": kind}}}
    steps = playbook("p/pay", {**DOCUMENT, "steps": [step]}).planned(of_task(task), task, lambda *_: TOOL)
    return steps[0].arguments["/to"].fixed if steps else None


def test_a_document_is_read() -> None:
    made = playbook("p/pay", DOCUMENT)
    assert (made.agents, made.seconds) == (frozenset({"a"}), 300)
    assert made.steps[0].stated == {"/to": "email"}
    task = "Pay gina@x.example"
    assert made.planned(of_task(task), task, lambda *_: TOOL) == (
        MandateStep("bank", "pay", "aa", 1, {"/note": Binding(any=True), "/to": Binding(fixed=("gina@x.example",))}),
    )


BROKEN: Mapping[str, Callable[[], Json]] = {
    "no object": list,
    "a member more": lambda: {**DOCUMENT, "x": 1},
    "a member less": lambda: {k: v for k, v in DOCUMENT.items() if k != "agents"},
    "nobody's": lambda: {**DOCUMENT, "agents": []},
    "everybody's": lambda: {**DOCUMENT, "agents": "a"},
    "an empty agent": lambda: {**DOCUMENT, "agents": [""]},
    "no time": lambda: {**DOCUMENT, "minutes": 0},
    "too long": lambda: {**DOCUMENT, "minutes": 1441},
    "true minutes": lambda: {**DOCUMENT, "minutes": True},
    "no steps": lambda: {**DOCUMENT, "steps": []},
    "too many steps": lambda: {**DOCUMENT, "steps": [STEP] * 33},
    "a tool without a server": lambda: {**DOCUMENT, "steps": [{**STEP, "tool": "pay"}]},
    "no calls": lambda: {**DOCUMENT, "steps": [{**STEP, "calls": 0}]},
    "a name that is no pointer": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"to": "any"}}]},
    "an unknown way": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"anything": 1}}}]},
    "bound to nothing": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {}}}]},
    "an unknown kind": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"stated": "name"}}}]},
    "a kind that is a list": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"stated": ["email"]}}}]},
    "no number": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"fixed": [float("nan")]}}}]},
    "optional alone": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"optional": True}}}]},
    "perhaps optional": lambda: {
        **DOCUMENT,
        "steps": [{**STEP, "arguments": {"/to": {"stated": "email", "optional": "yes"}}}],
    },
    "a slot that no step fills": lambda: {
        **DOCUMENT,
        "steps": [STEP, {**STEP, "arguments": {"/to": {"slot": ["bank/pay", "mail/read"]}}}],
    },
    "an empty slot": lambda: {**DOCUMENT, "steps": [{**STEP, "arguments": {"/to": {"slot": []}}}]},
}


@for_each("name", sorted(BROKEN))
def test_what_is_no_playbook_is_refused(name: str) -> None:
    with pytest.raises(PlaybookError):
        playbook("p/pay", BROKEN[name]())


STATED = (
    ("email", "Pay gina@x.example.", ("gina@x.example",)),
    ("email", "Pay gina@x.example, then a.b+c@y-z.example!", ("gina@x.example", "a.b+c@y-z.example")),
    ("email", "Pay her.", None),
    ("email", "Pay 5.\n> gina@x.example", None),  # others wrote it
    ("email", "Pay Gina. Never let eve@x.example have it.", None),  # the user excludes it
    ("number", "Pay 12.50 or 7.", (12.5, "12.50", 7, "7")),
    ("number", "On 2026-11-30 at v1.2.3", None),
    ("date", "On 2026-11-30 please", ("2026-11-30",)),
    ("code", "Refund #W2417 and AB-12 today", ("#W2417", "AB-12")),
    ("code", "Refund it today", None),
    ("quoted", 'Call it "Blue room" now', ("Blue room",)),
    ("path", "Read notes/bill.txt.", ("notes/bill.txt",)),
)


@for_each("kind, task, values", STATED)
def test_what_the_user_states_is_fixed(kind: str, task: str, values: Any) -> None:
    assert planned(kind, task) == values


def test_an_optional_argument_may_go_unstated_and_then_holds_nothing() -> None:
    step = {**STEP, "arguments": {"/to": {"stated": "email", "optional": True}}}
    made = playbook("p/pay", {**DOCUMENT, "steps": [step]})
    for task, fixed in (("Pay gina@x.example", ("gina@x.example",)), ("Pay her.", ())):
        (found,) = made.planned(of_task(task), task, lambda *_: TOOL)
        assert found.arguments == {"/to": Binding(fixed=fixed, optional=True)}


def test_too_many_values_are_none() -> None:
    assert planned("number", " ".join(map(str, range(100, 160)))) is None


def test_a_tool_that_is_gone_ends_the_whole_plan() -> None:
    task = "Pay gina@x.example"
    assert playbook("p/pay", DOCUMENT).planned(of_task(task), task, lambda *_: None) == ()


@for_each("kind", sorted(KINDS))
def test_hostile_text_takes_no_time(kind: str) -> None:
    began = time.process_time()
    for part in ("a", "a.", "1-", "a/", '"', "#_-", "@a.", "a.a/", "a@a."):
        text = part * (30_000 // len(part))
        list(KINDS[kind].finditer(text))
    assert time.process_time() - began < 1
