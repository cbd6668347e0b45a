"""JSON-RPC answers to a client whose request is not passed on, as bytes; `pdp.client.mcp.answers` has the content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pdp.client.mcp import answers
from pdp.client.mcp.answers import McpClient, Way
from pdp.client.values import Decision, Tool
from pdp.core.bytes.digest import Json, canonical
from pdp.core.call.methods import ROUNDS
from pdp.wire.gateways.http_message import McpMessage


def error(id_: str | int | None, number: int, message: str, data: Mapping[str, Json] | None = None) -> bytes:
    """A JSON-RPC error."""
    told: dict[str, Json] = {"code": number, "message": message}
    if data:
        told["data"] = data
    return canonical({"jsonrpc": "2.0", "id": id_, "error": told})


def listed(shown: Iterable[Tool], prefix: str, message: McpMessage, milliseconds: int) -> bytes:
    """The answer to a list, by the names at the gateway. It is one subject's, for as long as it holds."""
    return _result(
        message, answers.listed(shown, _client(message), milliseconds, method=message.method, prefix=prefix)
    )


def refused(decision: Decision, message: McpMessage) -> bytes:
    """The answer to a call that is denied or pending. A page where the user can answer is shown to a client that can
    open one; no state is made up, since the server behind would take it for its own."""
    client = _client(message)
    if message.method in ROUNDS and client.shows("url") and answers.way(decision, client) is Way.INPUT_REQUIRED:
        return _result(message, answers.input_required(answers.elicitation(decision, client)))
    return error(message.id, answers.DENIED, decision.safe_message, answers.data(decision))


def _client(message: McpMessage) -> McpClient:
    return McpClient(message.version, message.capabilities)


def _result(message: McpMessage, result: Mapping[str, Any]) -> bytes:
    return canonical({"jsonrpc": "2.0", "id": message.id, "result": result})
