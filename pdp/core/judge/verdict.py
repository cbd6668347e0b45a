"""Reading what a model answered: exactly one object of the asked form, or no verdict with the reason why. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pdp.core.digest import Json
from pdp.core.errors import InvalidRequest
from pdp.core.judge.matter import OK, VERDICTS, Opinion, Rendered
from pdp.core.judge.render import ARGUMENTS, MAX_RATIONALE
from pdp.core.strict_json import parse_object

STOP = "stop"
_UNFINISHED = {"length": "length", "content_filter": "filtered", "refusal": "refused"}
_KEYS = frozenset({"nonce", "rationale", "violated", "verdict", "confidence"})
_MAX_BYTES = 16_384  # of an answer; a good one has some 300
_MAX_DEPTH = 4
_REPAIRABLE = frozenset({"malformed", "extra_text"})


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
    """What the model said. `finish` is why it stopped: `stop`, `length`, `content_filter`, `refusal`, or anything
    else, which is no answer. `model` is what the endpoint says it is. Never raises."""
    status, found = _read(text, finish, rendered)
    answer = found if status == OK else {}
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
    """Whether asking once more for the same answer in the right form makes sense. A wrong nonce does not: whoever
    wrote that answer was not answering us."""
    return opinion.status in _REPAIRABLE


def _read(text: str, finish: str, rendered: Rendered) -> tuple[str, Mapping[str, Any]]:
    if finish != STOP:
        return _UNFINISHED.get(finish, "malformed"), {}
    try:
        answer, _ = parse_object(text.strip().encode(), "answer", max_bytes=_MAX_BYTES, max_depth=_MAX_DEPTH)
    except (InvalidRequest, UnicodeEncodeError):
        return ("extra_text" if _holds_object(text) else "malformed"), {}
    if not _well_formed(answer, rendered.rules):
        return "malformed", {}
    if answer["nonce"] != rendered.nonce:
        return "nonce", {}
    if answer["verdict"] == "allow" and ARGUMENTS in rendered.cut:
        return "too_large", {}  # nobody allows what was not seen
    return OK, answer


def _well_formed(answer: Mapping[str, Json], rules: tuple[str, ...]) -> bool:
    """Whether it is by the schema, and does not contradict itself."""
    if answer.keys() != _KEYS or not isinstance(answer["nonce"], str) or answer["verdict"] not in VERDICTS:
        return False
    confidence, rationale, violated = answer["confidence"], answer["rationale"], answer["violated"]
    if not isinstance(confidence, int | float) or isinstance(confidence, bool) or not 0 <= confidence <= 1:
        return False
    if not isinstance(rationale, str) or len(rationale) > MAX_RATIONALE:
        return False
    if not isinstance(violated, list) or any(rule not in rules for rule in violated):
        return False
    return not (violated and answer["verdict"] == "allow")


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
