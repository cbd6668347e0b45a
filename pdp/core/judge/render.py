"""What the judge is sent for one matter. Pure, and the same for the same matter and prompts, but for the nonce.

The system message is ours: the base text with the sections that speak about the tool. The user message is data:

    === <nonce> task (signed by the user) ===
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pdp.core.approvals.inert import visible
from pdp.core.digest import Json, canonical, digest
from pdp.core.errors import Fault
from pdp.core.judge.matter import VERDICTS, Matter, Rendered
from pdp.core.judge.prompt import FORMAT, MARKER, SECTIONS, PromptSet
from pdp.core.judge.redact import redacted_text
from pdp.core.judge.tokens import tokens, within

MAX_RATIONALE = 280  # characters
ARGUMENTS = "arguments"
NONCE = re.compile(r"[0-9a-f]{32,128}")
_SOURCES = {
    "subject_signed": "signed by the user",
    "caller": "passed on by a gateway that vouches for it",
    "agent": "stated by the agent itself, proven by nobody",
    "none": "from an unknown source",
}
_NO_TASK = "(No task statement was given.)"
# Who takes first, and how much of what those before left, as a percentage. Nobody's length takes another's place.
_SHARES = ((ARGUMENTS, 60), ("task", 50), ("tool", 50), ("labels", 25), ("observation", 60), ("schema", 100))
_HEAD = 0.7  # of what is kept of a text that is cut; the rest is its end
_MOST_CHARACTERS = 12  # that one token stands for, or blanks would be read without end
# what `visible` may have to spell out: characters outside printable ASCII with the one before, which marks stand on,
# and long runs; looking at nothing else takes a tenth of the time, and leaves indents and empty lines alone
_ODD = re.compile(r"[!-~]?[^ -~\n]+|(.)\1{24,}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One part of the matter. `title` is ours, `text` is somebody's."""

    name: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """A block as it is shown, but for the nonce: harmless, and cut where it was too long."""

    block: Block
    head: str
    tail: str = ""
    left_out: int = 0  # characters of the block's text between head and tail


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
    data: Json = [[b.block.title, b.head, b.tail, b.left_out] for b in blocks]
    seen: Json = [FORMAT, sha256, text, data, schema, dict(prompt.settings)]
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
        cut=tuple(b.block.name for b in blocks if b.left_out),
    )


def blocks_of(matter: Matter) -> tuple[Block, ...]:
    """The parts that there are, in the order in which they are shown. A task always is. Free text is cleared of
    secrets here whoever made the matter; arguments were, since only their maker knows what is a secret in them."""
    source = _SOURCES.get(matter.task_source, _SOURCES["none"])
    named = {"agent": matter.agent, "server": matter.server, "title": matter.title, "tool": matter.tool}
    names = _json({key: value for key, value in named.items() if value})
    description = redacted_text(matter.description)
    blocks = (
        Block("task", f"task ({source})" if matter.task else "task", redacted_text(matter.task) or _NO_TASK),
        Block("tool", "tool", f"{names}\n{description}" if description else names),
        Block("schema", "schema", _json(matter.schema) if matter.schema else ""),
        Block(ARGUMENTS, ARGUMENTS, _json(matter.arguments)),
        Block("labels", "labels", _json(sorted(set(matter.labels))) if matter.labels else ""),
        Block("observation", "observation (untrusted)", redacted_text(matter.observation)),
    )
    return tuple(block for block in blocks if block.text)


def _json(value: Json) -> str:
    return canonical(value).decode()


def shown(text: str) -> str:
    """The text made harmless. Line breaks stay, and so do up to 24 spaces or empty lines in a row: they hide nothing
    from a model. Whatever else has no shape of its own is spelled out, and longer runs are counted."""
    return _ODD.sub(lambda found: visible(found[0], lines=True), text.replace("\r\n", "\n"))


def fitted(blocks: tuple[Block, ...], budget: int) -> tuple[Fitted, ...]:
    """The blocks, each cut to what it may take of `budget` estimated tokens."""
    left, by_name = max(budget, 0), {block.name: block for block in blocks}
    found: dict[str, Fitted] = {}
    for name, share in _SHARES:
        if (block := by_name.get(name)) is not None:
            found[name] = _fitted(block, left * share // 100)
            left -= min(left, tokens(found[name].head) + tokens(found[name].tail))
    return tuple(found[block.name] for block in blocks)


def _fitted(block: Block, limit: int) -> Fitted:
    """The block whole, or the most of its beginning and end that takes no more than `limit` tokens."""
    most = min(len(block.text), limit * _MOST_CHARACTERS)
    if most == len(block.text) and within(limit, block.text) and within(limit, whole := shown(block.text)):
        return Fitted(block, whole)
    most = _largest(most, lambda kept: within(limit, *_ends(block.text, kept)))  # quick, and hardly ever too small
    kept = _largest(most, lambda kept: within(limit, *map(shown, _ends(block.text, kept))))
    head, tail = _ends(block.text, min(kept, len(block.text) - 1))
    return Fitted(block, shown(head), shown(tail), len(block.text) - len(head) - len(tail))


def _largest(most: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to `most` that fits, by bisection; nothing always does."""
    if fits(most):
        return most
    good, bad = 0, most
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good


def _ends(text: str, kept: int) -> tuple[str, str]:
    head = int(kept * _HEAD)
    return text[:head], text[len(text) - (kept - head) :]


def message(blocks: tuple[Fitted, ...], nonce: str) -> str:
    """The blocks between lines that only we can write."""
    parts = [f"=== {nonce} {each.block.title} ===\n{_body(each, nonce)}" for each in blocks]
    return "\n".join([*parts, f"=== {nonce} end ==="])


def _body(part: Fitted, nonce: str) -> str:
    if not part.left_out:
        return unmarked(part.head, nonce)
    note = f"\n=== {nonce} cut here: {part.left_out} of {len(part.block.text)} characters left out ===\n"
    return unmarked(part.head, nonce) + note + unmarked(part.tail, nonce)


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
