"""What the judge is sent for one matter. Pure, and the same for the same matter and prompts, but for the nonce.

The system message is ours: the base text with the sections that speak about the tool. The user message is data:

    === <nonce> task (stated by the caller, which authenticated) ===
    ...
    === <nonce> arguments ===
    ...
    === <nonce> end ===

A block ends where the next line with the nonce begins. Whoever wrote the data cannot know the nonce; should it stand
in data nevertheless, it is spelled out. So nothing in data can close a block or open one. Likewise a cut is
shown with the nonce. Characters without a shape of their own are spelled out (`approvals.inert`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pdp.core.approvals.inert import visible
from pdp.core.digest import Json, canonical, digest
from pdp.core.errors import Fault
from pdp.core.judge.matter import VERDICTS, Matter, Rendered
from pdp.core.judge.prompt import FORMAT, MARKER, SECTIONS, PromptSet
from pdp.core.judge.tokens import tokens

MAX_RATIONALE = 280  # characters
ARGUMENTS = "arguments"
NONCE = re.compile(r"[0-9a-f]{32,128}")
_SOURCES = {
    "subject_signed": "signed by the user",
    "caller": "passed on by an authenticated gateway, which vouches for it",
    "agent": "stated by the agent itself, proven by nobody",
    "none": "from an unknown source",
}
_NO_TASK = "(No task statement was given.)"
# Who takes first, and how much of what those before left, as a percentage. Nobody's length takes another's place.
_SHARES = ((ARGUMENTS, 60), ("task", 50), ("tool", 50), ("labels", 25), ("observation", 60), ("schema", 100))
_ORDER = ("task", "tool", "schema", ARGUMENTS, "labels", "observation")
_HEAD = 0.7  # of what is kept of a text that is cut; the rest is its end
# what `visible` writes for blanks that it counted; nobody else does, since it spells the brackets out
_SPACES = re.compile("⟨space \N{MULTIPLICATION SIGN}([0-9]{1,2})⟩")
_BREAKS = re.compile("⟨U[+]000A \N{MULTIPLICATION SIGN}([0-9]{1,2})⟩")
_MOST = 16  # spaces or line breaks in a row that stay as they are


@dataclass(frozen=True, slots=True)
class Block:
    """One part of the matter. `title` is ours, `text` is made harmless but not yet free of the nonce."""

    name: str
    title: str
    text: str
    cut: tuple[int, int, int] | None = (
        None  # characters kept of the beginning and of the end, and how many there were
    )


def render(
    prompts: PromptSet, prompt_id: str, matter: Matter, nonce: str, *, budget_tokens: int | None = None
) -> Rendered:
    """`nonce` is at least 128 random bits, as lower-case hex, drawn for this call. `budget_tokens` (estimated, see
    `tokens`) bounds the data in place of the prompt's own figure. Raises UnknownPrompt (`judge.prompt`), and Fault
    `judge.nonce` for a nonce that is none."""
    if NONCE.fullmatch(nonce) is None:
        raise Fault("judge.nonce", "The nonce of a judge's session is 32 to 128 lower-case hexadecimal digits.")
    prompt = prompts.prompt(prompt_id)
    sections = prompts.sections_for(prompt_id, matter)
    text = prompt.text.replace(SECTIONS, "\n\n".join(s.text.strip() for s in sections))
    rules = tuple(dict.fromkeys((*prompt.rules, *(rule for s in sections for rule in s.rules))))
    blocks = fitted(blocks_of(matter), prompt.data_tokens if budget_tokens is None else budget_tokens)
    schema, sha256 = answer_schema(rules), prompts.digests()[prompt_id]
    seen: Json = [FORMAT, sha256, text, [[b.title, b.text, b.cut] for b in blocks], schema, dict(prompt.settings)]
    return Rendered(
        prompt=prompt_id,
        prompt_sha256=sha256,
        system=text.replace(MARKER, nonce),
        user=message(blocks, nonce),
        nonce=nonce,
        schema=schema,
        settings=dict(prompt.settings),
        rules=rules,
        seen_sha256=digest(seen),
        cut=tuple(b.name for b in blocks if b.cut is not None),
    )


def blocks_of(matter: Matter) -> tuple[Block, ...]:
    """The parts that there are, in the order in which they are shown. A task always is."""
    source = _SOURCES.get(matter.task_source, _SOURCES["none"])
    named = {"agent": matter.agent, "server": matter.server, "tool": matter.tool, "title": matter.title}
    names = "\n".join(f"{key}: {shown_line(value)}" for key, value in named.items() if value)
    description = shown(matter.description)
    blocks = (
        Block("task", f"task ({source})" if matter.task else "task", shown(matter.task) or _NO_TASK),
        Block("tool", "tool", f"{names}\ndescription: {description}" if description else names),
        Block("schema", "schema", _json(matter.schema) if matter.schema else ""),
        Block(ARGUMENTS, ARGUMENTS, _json(matter.arguments)),
        Block("labels", "labels", "\n".join(map(shown_line, sorted(set(matter.labels))))),
        Block("observation", "observation (untrusted)", shown(matter.observation)),
    )
    return tuple(block for block in blocks if block.text)


def shown(text: str) -> str:
    """A text of several lines made harmless. Line breaks stay, and so do up to 16 spaces or empty lines in a row:
    they hide nothing from a model. Whatever else has no shape of its own is spelled out."""
    return _restored(_BREAKS, "\n", _restored(_SPACES, " ", visible(text.replace("\r\n", "\n"), lines=True)))


def shown_line(text: str) -> str:
    """The same for a text that is one line."""
    return _restored(_SPACES, " ", visible(text))


def _restored(counted: re.Pattern[str], char: str, text: str) -> str:
    return counted.sub(lambda found: char * many if (many := int(found[1])) <= _MOST else found[0], text)


def _json(value: Mapping[str, Json]) -> str:
    return shown_line(canonical(value).decode())


def fitted(blocks: tuple[Block, ...], budget: int) -> tuple[Block, ...]:
    """The blocks, each cut to what it may take of `budget` estimated tokens."""
    left, by_name = max(budget, 0), {block.name: block for block in blocks}
    for name, share in _SHARES:
        if (block := by_name.get(name)) is not None:
            by_name[name] = _cut(block, left * share // 100)
            left -= min(left, tokens(by_name[name].text))
    return tuple(by_name[name] for name in _ORDER if name in by_name)


def _cut(block: Block, limit: int) -> Block:
    """The block with the longest beginning and end that fit into `limit` tokens, by bisection."""
    if tokens(block.text) <= limit:
        return block
    fits, too_many = 0, len(block.text)
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if sum(map(tokens, _ends(block.text, middle))) <= limit:
            fits = middle
        else:
            too_many = middle
    head, tail = _ends(block.text, fits)
    return Block(block.name, block.title, head + tail, (len(head), len(tail), len(block.text)))


def _ends(text: str, kept: int) -> tuple[str, str]:
    head = int(kept * _HEAD)
    return text[:head], text[len(text) - (kept - head) :]


def message(blocks: tuple[Block, ...], nonce: str) -> str:
    """The blocks between lines that only we can write."""
    parts = [f"=== {nonce} {block.title} ===\n{_body(block, nonce)}" for block in blocks]
    return "\n".join([*parts, f"=== {nonce} end ==="])


def _body(block: Block, nonce: str) -> str:
    if block.cut is None:
        return unmarked(block.text, nonce)
    head, tail, whole = block.cut
    note = f"\n=== {nonce} cut here: {whole - head - tail} of {whole} characters left out ===\n"
    return unmarked(block.text[:head], nonce) + note + unmarked(block.text[head:], nonce)


def unmarked(text: str, nonce: str) -> str:
    """The text with the nonce, in whatever case, spelled out: it stands for nothing in data."""
    return re.sub(re.escape(nonce), "⟨the marker, written by the data⟩", text, flags=re.IGNORECASE)


def answer_schema(rules: tuple[str, ...]) -> Mapping[str, Json]:
    """JSON Schema of the answer, for structured outputs: only what every endpoint knows, and the same for each call
    (the nonce is no part of it, so writing it is left to the model). `verdict.read_opinion` asks for more."""
    text: Json = {"type": "string"}
    item: Json = {"type": "string", "enum": list(rules)} if rules else text
    properties: dict[str, Json] = {
        "nonce": text,
        "rationale": {"type": "string", "description": f"At most {MAX_RATIONALE} characters."},
        "violated": {"type": "array", "items": item},
        "verdict": {"type": "string", "enum": list(VERDICTS)},
        "confidence": {"type": "number", "description": "From 0 to 1."},
    }
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
