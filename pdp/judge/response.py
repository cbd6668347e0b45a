"""What one request came to, and what an endpoint's answer holds in either API. Pure; believes nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.judge.limits import Limits

MAX_TOKENS = 1024  # of an answer, for a prompt that does not say
REFUSAL = "refusal"
_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


class UnreadableError(Exception):
    """It is not an answer of the API."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`finish` as `read_opinion` takes it. Tokens are None where the endpoint does not count them."""

    text: str
    finish: str
    model: str
    tokens_in: int | None
    tokens_out: int | None


@dataclass(frozen=True, slots=True)
class EndpointError:
    """Why there is no reply. `again`: the same request may work later; `ill`: the endpoint itself is not well."""

    status: str
    again: bool = False
    ill: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one request came to, and what the provider said about its limits."""

    found: Reply | EndpointError
    limits: Limits


def read_chat(body: bytes) -> Reply:
    """A Chat Completion. Raises UnreadableError."""
    found = _object(body)
    choice = _only(found.get("choices"))
    message = _mapping(choice.get("message"))
    finish, text = str(choice.get("finish_reason")), message.get("content")
    if message.get("refusal"):
        finish, text = REFUSAL, ""
    elif message.get("tool_calls") or message.get("function_call"):
        finish = "tool_calls"
    usage = _usage(found)
    return Reply(
        text if isinstance(text, str) else "",
        finish,
        _model(found),
        _count(usage, "prompt_tokens"),
        _count(usage, "completion_tokens"),
    )


def read_response(body: bytes) -> Reply:
    """An answer of the Responses API. Raises UnreadableError."""
    found = _object(body)
    texts, finish = [], _finish(found)
    for item in _list(found.get("output")):
        kind = item.get("type")
        if kind == "reasoning":
            continue
        if kind != "message":
            finish = "tool_calls"
            continue
        for part in _list(item.get("content")):
            if part.get("type") == REFUSAL:
                finish = REFUSAL
            else:
                texts.append(str(part.get("text", "")))
    usage = _usage(found)
    return Reply(
        "" if finish == REFUSAL else "".join(texts),
        finish,
        _model(found),
        _count(usage, "input_tokens"),
        _count(usage, "output_tokens"),
    )


def _finish(found: Mapping[str, Any]) -> str:
    status = found.get("status")
    if status == "completed":
        return "stop"
    if status == "incomplete":
        return _INCOMPLETE.get(str(_usage(found, "incomplete_details").get("reason")), "incomplete")
    raise UnreadableError  # failed, cancelled, or still under way


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(json.loads(body))
    except (ValueError, RecursionError):
        raise UnreadableError from None


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UnreadableError
    return value


def _list(value: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        raise UnreadableError
    return [_mapping(each) for each in value]


def _only(value: Any) -> Mapping[str, Any]:
    found = _list(value)
    if len(found) != 1:
        raise UnreadableError
    return found[0]


def _model(found: Mapping[str, Any]) -> str:
    """It stands in records and on pages, so a name is only what can be seen."""
    model = found.get("model")
    return model[:200] if isinstance(model, str) and model.isprintable() else ""


def _usage(found: Mapping[str, Any], name: str = "usage") -> Mapping[str, Any]:
    usage = found.get(name)
    return usage if isinstance(usage, Mapping) else {}


def _count(usage: Mapping[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if type(value) is int and 0 <= value <= 10**9 else None
