"""JSON-RPC answers to a client whose request does not pass, as its protocol version understands them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from pdp.adapters.gateways.http_message import McpMessage
from pdp.client.values import Decision, Tool
from pdp.core.digest import Json, canonical

DENIED = -32001  # of the range that implementations may use; agentgateway's own number for a denial
_QUESTION = "pdp"  # the one question of an answer; a client sends its answer back under this name


def error(id_: str | int | None, number: int, message: str, data: Mapping[str, Json] | None = None) -> bytes:
    """A JSON-RPC error."""
    told: dict[str, Json] = {"code": number, "message": message}
    if data:
        told["data"] = data
    return canonical({"jsonrpc": "2.0", "id": id_, "error": told})


def listed(tools: Iterable[Tool], prefix: str, message: McpMessage, milliseconds: int) -> bytes:
    """The answer to a list of tools, by their names at the gateway. It is one subject's, for as long as it holds."""
    result: dict[str, Any] = {
        "tools": [{**json.loads(tool.definition), "name": f"{prefix}{tool.name}"} for tool in tools]
    }
    if message.version in MODERN_PROTOCOL_VERSIONS:
        result |= {"resultType": "complete", "ttlMs": max(0, milliseconds), "cacheScope": "private"}
    return canonical({"jsonrpc": "2.0", "id": message.id, "result": result})


def data(decision: Decision) -> dict[str, Json]:
    """What a client may know of a decision that is no allow: never its reasons."""
    found: dict[str, Json] = {"status": decision.effect}
    if decision.decision_id:
        found["decision_id"] = decision.decision_id
    if decision.pending is not None:
        for wanted in decision.pending.requirements:
            if wanted.url:
                found |= {"approval_url": wanted.url, "short_code": wanted.short_code}
                break
        if decision.pending.retry_after is not None:
            found["retry_after"] = decision.pending.retry_after
    return found


def refused(decision: Decision, message: McpMessage) -> bytes:
    """The answer to a call that is denied or pending. A page where the user can answer is shown to a client that can
    open one; no state is made up, since the server behind would take it for its own."""
    told = data(decision)
    url = told.get("approval_url")
    if decision.effect == "pending" and isinstance(url, str) and _opens_pages(message):
        params = {"mode": "url", "message": decision.safe_message, "url": url}
        question: dict[str, Any] = {_QUESTION: {"method": "elicitation/create", "params": params}}
        result: Mapping[str, Json] = {"resultType": "input_required", "inputRequests": question}
        return canonical({"jsonrpc": "2.0", "id": message.id, "result": result})
    return error(message.id, DENIED, decision.safe_message, told)


def _opens_pages(message: McpMessage) -> bool:
    """Whether the client says, in this request, that it can show its user a page."""
    if message.version not in MODERN_PROTOCOL_VERSIONS or message.capabilities is None:
        return False
    elicitation = message.capabilities.get("elicitation")
    return isinstance(elicitation, Mapping) and isinstance(elicitation.get("url"), Mapping)
