"""What a server answers to an allowed call, on its way to the client: inspected, cut, or withheld. A result,
an error, and a question to the user alike: a model may read each of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp.shared.jsonrpc_dispatcher import handler_exception_to_error_data
from mcp_types import INTERNAL_ERROR, ErrorData
from mcp_types.methods import is_input_required
from pydantic import BaseModel

from pdp.client import Decision
from pdp.client.mcp.effects import Observation
from pdp.core.call.methods import TOOL_CALL
from pdp.core.caller import mcp_answers
from pdp.core.caller.values import Inspected

if TYPE_CHECKING:
    from pdp.client.mcp.enforcement import Context, Enforcement

logger = logging.getLogger(__name__)

_STATE = "requestState"  # the server's own, which is sealed before it leaves


async def passed_on(
    enforcement: Enforcement,
    ctx: Context,
    method: str,
    decision: Decision,
    result: dict[str, Any],
    observation: Observation,
) -> dict[str, Any]:
    """What the client gets of the result of an allowed call, or of the server's question in a round of it.

    A tool's result that is withheld is replaced by an error that the model can read; of another method raises
    MCPError. Without `inspects_results` every result passes as it is.
    """
    if not enforcement.options.inspects_results:
        return result
    asks = is_input_required(result)
    seen = {name: value for name, value in result.items() if name != _STATE or not asks}
    found = await _inspected(enforcement, ctx, decision, seen, observation)
    if found.passes:
        passed: dict[str, Any] = found.result
        return passed
    if method != TOOL_CALL:
        raise MCPError(mcp_answers.DENIED, found.safe_message, {"status": "deny"})
    kind = {"resultType": "complete"} if "resultType" in result else {}  # of newer versions of the protocol
    return {**kind, "content": [{"type": "text", "text": found.safe_message}], "isError": True}


async def answered(
    enforcement: Enforcement, ctx: Context, decision: Decision, call_next: CallNext, observation: Observation
) -> dict[str, Any]:
    """The server's result as it is, by the names of the wire. Raises MCPError: the server's error, or what else it
    raised as the protocol's version tells it, inspected as a result that is an error; withheld, a denial."""
    try:
        return wire(await call_next(ctx))
    except Exception as raised:
        if not enforcement.options.inspects_results:
            raise
        error = _told(enforcement, ctx, raised)
    said: dict[str, Any] = {"content": [{"type": "text", "text": error.message}], "isError": True}
    if error.data is not None:
        said["data"] = error.data
    found = await _inspected(enforcement, ctx, decision, said, observation)
    if not found.passes:
        raise MCPError(mcp_answers.DENIED, found.safe_message, {"status": "deny"})
    raise MCPError(error.code, found.result["content"][0]["text"], found.result.get("data"))


def _told(enforcement: Enforcement, ctx: Context, raised: Exception) -> ErrorData:
    """What the SDK makes of an exception: versions with a handshake tell its text, newer ones do not."""
    error = handler_exception_to_error_data(raised)
    if error is not None:
        return error
    logger.error("a call of %s failed", enforcement.server, exc_info=raised)
    if ctx.protocol_version in mcp_answers.MODERN:
        return ErrorData(code=INTERNAL_ERROR, message="Internal server error")
    return ErrorData(code=0, message=str(raised))


def wire(result: HandlerResult) -> dict[str, Any]:
    """A result by the names of the wire."""
    if isinstance(result, BaseModel):
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dict(result or {})


async def _inspected(
    enforcement: Enforcement, ctx: Context, decision: Decision, result: Mapping[str, Any], seen: Observation
) -> Inspected:
    options = enforcement.options
    found = await enforcement.client.inspect_result(
        decision,
        result,
        options.credential(ctx),
        session=enforcement.session(ctx),
        effects=tuple(seen.effects),
        observed=(seen.kinds, seen.missed) if seen.kinds else None,
    )
    if not found.passes:
        logger.warning("a result of %s is withheld: %s %s", enforcement.server, found.code, found.decision_id)
    return found
