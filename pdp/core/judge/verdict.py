"""Reading what a model answered. Pure.

Strict in what unlocks: an allow or an escalate is exactly one object of the asked form, or no verdict, with the
reason why. Not in what refuses: a deny with our nonce is one in any form, so that no second attempt makes a kinder
verdict of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pdp.core.bytes.digest import Json
from pdp.core.bytes.strict_json import parse_object
from pdp.core.errors import InvalidRequest
from pdp.core.judge.judge_input import OK, VERDICTS, Opinion, Rendered
from pdp.core.judge.render import MAX_RATIONALE

STOP = "stop"
_UNFINISHED = {"length": "length", "content_filter": "filtered", "refusal": "refused"}
_KEYS = frozenset({"nonce", "rationale", "violated", "verdict", "confidence"})
_MAX_BYTES = 16_384  # of an answer; a good one has some 300
_MAX_DEPTH = 4
_MAX_OBJECTS = 64  # of one answer that are looked at for a deny
_REPAIRABLE = frozenset({"malformed", "extra_text"})
_FENCED = re.compile(r"```[A-Za-z]{0,16}[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)


def read_opinion(  # noqa: PLR0913 - what an answer is measured by, each named
    text: str,
    finish: str,
    rendered: Rendered,
    model: str,
    *,
    tokens_in: int = 0,
    tokens_out: int = 0,
    latency_ms: int = 0,
) -> Opinion:
    """The opinion in an answer. `finish` is why the model stopped: `stop`, `length`, `content_filter`, `refusal`, or
    anything else, which is no answer. `model` is what the endpoint says it is. Never raises."""
    status, answer = _read(text, finish, rendered)
    if status != OK and (refusal := _refusal(text, rendered)) is not None:
        status, answer = OK, refusal
    return Opinion(
        status=status,
        verdict=answer.get("verdict"),
        confidence=float(answer["confidence"]) if answer else None,
        violated=tuple(dict.fromkeys(answer.get("violated", ()))),
        rationale=answer.get("rationale", ""),
        model=model,
        prompt_sha256=rendered.prompt_sha256,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        latency_ms=latency_ms,
    )


def repairable(opinion: Opinion) -> bool:
    """Whether asking once more for the same answer in the right form makes sense. A wrong nonce does not:
    such an answer was not written for our request."""
    return opinion.status in _REPAIRABLE


def supersedes(second: Opinion, text: str, finish: str, rendered: Rendered) -> bool:
    """Whether a second answer stands in place of a repairable first one (`text`, `finish`). Its allow does only where
    the first was an allow as well, no less sure, that named no rule and had nothing beside it but a code fence."""
    if second.status != OK or second.verdict != "allow":
        return second.status == OK
    fenced = _FENCED.fullmatch(text.strip())
    first = _parsed(text if fenced is None else fenced[1])
    if finish != STOP or first is None or not first.keys() <= _KEYS or first.get("violated"):
        return False
    sure, surer = first.get("confidence"), second.confidence or 0.0
    less_sure = isinstance(sure, int | float) and sure < surer
    return first.get("verdict") == "allow" and first.get("nonce") == rendered.nonce and not less_sure


def _refusal(text: str, rendered: Rendered) -> Mapping[str, Any] | None:
    """The first deny in an answer of the wrong form, as far as it can be read."""
    for members in _objects(text[:_MAX_BYTES]):
        if ("nonce", rendered.nonce) in members and any(_is_deny(k, v) for k, v in members):
            answer = dict(members)
            named, why, sure = answer.get("violated"), answer.get("rationale"), answer.get("confidence")
            return {
                "verdict": "deny",
                "confidence": sure if _is_share(sure) else 0.0,
                "violated": [r for r in named if r in rendered.rules] if isinstance(named, list) else [],
                "rationale": _readable(why)[:MAX_RATIONALE] if isinstance(why, str) else "",
            }
    return None


def _is_deny(key: str, value: object) -> bool:
    return key == "verdict" and isinstance(value, str) and value.strip().casefold() == "deny"


def _readable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _objects(text: str) -> Iterator[list[tuple[str, Any]]]:
    """The members of each whole JSON object in a text, also within another; a key may stand there twice."""
    objects: list[list[tuple[str, Any]]] = []

    def keep(members: list[tuple[str, Any]]) -> dict[str, Any]:
        objects.append(members)
        return dict(members)

    decoder, at = json.JSONDecoder(object_pairs_hook=keep), 0
    for _ in range(_MAX_OBJECTS):
        if (at := text.find("{", at)) < 0:
            break
        try:
            _, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at += 1
    yield from objects


def _parsed(text: str) -> Mapping[str, Json] | None:
    """The one object that a text is. None for anything else."""
    try:
        answer, _ = parse_object(text.strip().encode(), "answer", max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except (InvalidRequest, UnicodeEncodeError):
        return None
    return answer


def _read(text: str, finish: str, rendered: Rendered) -> tuple[str, Mapping[str, Any]]:
    if finish != STOP:
        return _UNFINISHED.get(finish, "malformed"), {}
    answer = _parsed(text)
    if answer is None:
        return ("extra_text" if _holds_object(text) else "malformed"), {}
    if not _well_formed(answer, rendered.rules):
        return "malformed", {}
    if answer["nonce"] != rendered.nonce:
        return "nonce", {}
    if answer["verdict"] == "allow" and rendered.cut:
        return "too_large", {}  # no allow of content that was not seen
    return OK, answer


def _well_formed(answer: Mapping[str, Json], rules: tuple[str, ...]) -> bool:
    """Whether it is by the schema, and does not contradict itself."""
    if answer.keys() != _KEYS or not isinstance(answer["nonce"], str) or answer["verdict"] not in VERDICTS:
        return False
    confidence, rationale, violated = answer["confidence"], answer["rationale"], answer["violated"]
    if not _is_share(confidence):
        return False
    if not isinstance(rationale, str) or len(rationale) > MAX_RATIONALE:
        return False
    if not isinstance(violated, list) or any(rule not in rules for rule in violated):
        return False
    return not (violated and answer["verdict"] == "allow")


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _holds_object(text: str) -> bool:
    """Whether an object stands in a text that is not only that, such as one in a code fence."""
    start = text.find("{")
    if start < 0:
        return False
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return False
    return bool(text[:start].strip() or text[end:].strip())
