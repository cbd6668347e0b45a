"""Prompts and matters of the tests: small texts of their own, so that a word in ours changes no test."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pdp.core.call.facts import Annotations
from pdp.core.judge.judge_input import JudgeInput, Rendered, Traits
from pdp.core.judge.prompt import Prompt, PromptSet, Section, ToolSelector
from pdp.core.judge.render import render

NONCE = "3f9a1c07e5b24d68a1f0c2d3e4b5a697"
READS = Traits("low", (), (), Annotations(read_only=True, destructive=False, idempotent=True, open_world=False))
SENDS = Traits("medium", ("mail:send",), ("email",), Annotations(destructive=False))

BASE = Prompt(
    id="fit",
    version="1",
    text="The marker is {{marker}}.\n- `task.unrelated`: no step of the task.\n\n{{sections}}\n\nAnswer.",
    rules=("task.unrelated",),
    settings={"temperature": 0, "max_tokens": 300},
    data_tokens=2_000,
)
READING = Section(
    "reads", "1", "About reading.", ("reads.private",), (ToolSelector(annotations={"read_only": True}),)
)
SENDING = Section("sends", "1", "About sending.", ("sends.recipient",), (ToolSelector(sinks=("email", "message")),))
PROMPTS = PromptSet({"fit": BASE}, (SENDING, READING))

MATTER = JudgeInput(
    task="Tell Noor that we moved to room 4.",
    task_source="caller",
    agent="assistant",
    server="mail",
    tool="send",
    title="Send a mail",
    description="Sends one mail.",
    schema={"type": "object", "properties": {"to": {"type": "string"}, "text": {"type": "string"}}},
    arguments={"to": "noor@choir.example", "text": "Room 4"},
    labels=("private", "external"),
    observation="Noor: noor@choir.example",
    traits=SENDS,
)


def matter(**changes: Any) -> JudgeInput:
    return replace(MATTER, **changes)


def rendered(*, nonce: str = NONCE, budget_tokens: int | None = None, **changes: Any) -> Rendered:
    return render(PROMPTS, "fit", matter(**changes), nonce, budget_tokens=budget_tokens)


def answer(**changes: Any) -> str:
    """A good answer, changed; a value of `...` leaves the key out."""
    good: dict[str, Any] = {
        "nonce": NONCE,
        "rationale": "The task names the recipient.",
        "violated": [],
        "verdict": "allow",
        "confidence": 0.9,
    }
    return json.dumps({key: value for key, value in (good | changes).items() if value is not ...}, ensure_ascii=False)


def blocks(user: str, nonce: str = NONCE) -> dict[str, str]:
    """What a reader who knows only the nonce finds: each block's text, by title. Fails where the form is not kept."""
    mark = f"=== {nonce} "
    found: dict[str, str] = {}
    title = ""
    lines: list[str] = []
    for line in user.split("\n"):
        if line.startswith(mark) and line.endswith(" ==="):
            if line[len(mark) :].startswith("cut here"):
                lines.append("<cut>")
                continue
            if title:
                assert title not in found
                found[title] = "\n".join(lines)
            title, lines = line[len(mark) : -4], []
        else:
            lines.append(line)
    assert title == "end"
    assert lines == []
    return found
