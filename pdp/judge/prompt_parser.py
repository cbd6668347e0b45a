"""A prompt file as it is written: head, and below it Markdown of which three lists are read.

    ### Allowed        - a sentence
    ### Blocked        - `rule.id`: a sentence
    ### Examples       - allow: "task" → `tool {"argument": 1}`. Why.
                       - deny `rule.id`: "task", having read "text" → `tool {…}`. Why.

An item may go on on lines that are indented. What the model is shown is the text as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pdp.core.approvals.text_safety import hidden
from pdp.core.control_tokens import control_tokens
from pdp.core.digest import Json, canonical
from pdp.core.errors import InvalidRequest
from pdp.core.strict_json import parse_object
from pdp.judge.front_matter import Head, read_head, split
from pdp.judge.problems import Problem

LISTS = ("Allowed", "Blocked", "Examples")
RULE_ID = r"[a-z][a-z0-9_-]{0,63}\.[a-z][a-z0-9_]{0,63}"
_HEADING = re.compile(r"#{1,6}[ \t]+(.*?)[ \t]*#*")
_RULE = re.compile(rf"`({RULE_ID})`: \S.*")
_EXAMPLE = re.compile(
    rf"(?P<verdict>allow|deny|escalate)(?P<rules>(?:,? `{RULE_ID}`)*): "
    r'"(?P<task>[^"]+)"(?:, having read "(?P<read>[^"]+)")? (?:→|->) '
    r"`(?P<tool>[A-Za-z0-9_./:@-]+) (?P<arguments>\{.*\})`\.(?: .+)?"
)
_EXAMPLE_FORM = '- deny `rule.id`: "task", having read "text" → `tool {"name": "value"}`. Why.'


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a list, on one line; `line` is where it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Example:
    """A call with the verdict that is right for it."""

    line: int
    verdict: str
    rules: tuple[str, ...]
    task: str
    read: str
    tool: str
    arguments: Mapping[str, Json]

    def call(self) -> bytes:
        """What two examples share that are about the same."""
        return canonical([" ".join(self.task.split()).casefold(), self.read, self.tool, self.arguments])


@dataclass(frozen=True, slots=True)
class Body:
    """The text below the head. `first` is the line on which it begins."""

    text: str
    first: int
    items: Mapping[str, tuple[Item, ...]]  # by list; a list without a heading is not there
    rules: tuple[tuple[str, int], ...]  # id and line
    examples: tuple[Example, ...]


def read_file(file: str, text: str, form: type[Head]) -> tuple[Head | None, Body | None, list[Problem]]:
    """Head and body, each as far as it can be read, and what is wrong with them."""
    parts = split(text.replace("\r\n", "\n"))
    if parts is None:
        what = "has no head; begin with a line `---`, then YAML with id and version, then a line `---`."
        return None, None, [Problem(file, 1, "prompts.head", what)]
    head, about_head = read_head(file, parts[0], form)
    body, about_body = read_body(file, parts[1], parts[0].count("\n") + 3)
    return head, body, [*about_head, *_unseen(file, text), *about_body]


def _unseen(file: str, text: str) -> list[Problem]:
    """Nobody reviews what they cannot see, and no text of ours ends the message that it stands in."""
    found = []
    for at, line in enumerate(text.split("\n"), 1):
        char = next((c for c in line if hidden(c) and c not in "\r\t⟨⟩"), None)
        if char is not None:
            what = f"holds U+{ord(char):04X}, which cannot be seen or looks like another character; take it out."
            found.append(Problem(file, at, "prompts.hidden", what))
        if any(control_tokens(line)):
            what = "holds a control token of a chat template, which would end the message there; name it in words."
            found.append(Problem(file, at, "prompts.control", what))
    return found


def read_body(file: str, text: str, first: int) -> tuple[Body, list[Problem]]:
    """The lists in `text`, whose first line is line `first` of the file."""
    items: dict[str, list[Item]] = {}
    current: list[Item] | None = None
    problems = []
    for at, line in enumerate(text.split("\n"), first):
        heading = _HEADING.fullmatch(line)
        if heading is not None:
            current = items.setdefault(heading[1], []) if heading[1] in LISTS else None
        elif line.startswith("{{"):
            current = None  # other texts go here
        elif current is None or not line.strip():
            continue
        elif line.startswith("- "):
            current.append(Item(at, line[2:].strip()))
        elif line.startswith("  ") and current:
            current[-1] = Item(current[-1].line, f"{current[-1].text} {line.strip()}")
        else:
            what = "is no item of the list above; begin it with `- `, or indent it to go on with the item before."
            problems.append(Problem(file, at, "prompts.item", what))
    rules, about_rules = _rules(file, items.get("Blocked", []))
    examples, about_examples = _examples(file, items.get("Examples", []))
    lists = {name: tuple(found) for name, found in items.items()}
    return Body(text, first, lists, rules, examples), [*problems, *about_rules, *about_examples]


def _rules(file: str, items: list[Item]) -> tuple[tuple[tuple[str, int], ...], list[Problem]]:
    found, problems = [], []
    for item in items:
        if (rule := _RULE.fullmatch(item.text)) is not None:
            found.append((rule[1], item.line))
        else:
            what = "what is blocked begins with the id of its rule, as in - `sends.recipient`: a recipient that …"
            problems.append(Problem(file, item.line, "prompts.item", what))
    return tuple(found), problems


def _examples(file: str, items: list[Item]) -> tuple[tuple[Example, ...], list[Problem]]:
    found, problems = [], []
    for item in items:
        if (example := _example(item)) is not None:
            found.append(example)
        else:
            what = f"is no example; write it as {_EXAMPLE_FORM}"
            problems.append(Problem(file, item.line, "prompts.item", what))
    return tuple(found), problems


def _example(item: Item) -> Example | None:
    found = _EXAMPLE.fullmatch(item.text)
    if found is None:
        return None
    try:
        arguments, _ = parse_object(found["arguments"].encode(), "example")
    except InvalidRequest:
        return None
    return Example(
        line=item.line,
        verdict=found["verdict"],
        rules=tuple(re.findall(f"`({RULE_ID})`", found["rules"])),
        task=found["task"],
        read=found["read"] or "",
        tool=found["tool"],
        arguments=arguments,
    )
