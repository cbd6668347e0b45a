"""Results of calls, on their way from the server to its client: inspected, cut, or withheld."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mcp.shared.exceptions import MCPError

from pdp.adapters.mcp import answers
from pdp.client import Decision
from pdp.core.methods import TOOL_CALL

if TYPE_CHECKING:
    from pdp.adapters.mcp.enforcement import Context, Enforcement

logger = logging.getLogger(__name__)


async def passed_on(
    enforcement: Enforcement, ctx: Context, method: str, decision: Decision, result: dict[str, Any]
) -> dict[str, Any]:
    """What the client gets of the result of an allowed call.

    A tool's result that is withheld is replaced by an error that the model can read; of another method raises
    MCPError. Without `inspects_results` every result passes as it is.
    """
    options = enforcement.options
    if not options.inspects_results:
        return result
    found = await enforcement.client.inspect_result(
        decision, result, options.credential(ctx), session=options.session(ctx)
    )
    if found.passes:
        passed: dict[str, Any] = found.result
        return passed
    logger.warning("a result of %s is withheld: %s %s", enforcement.server, found.code, found.decision_id)
    if method != TOOL_CALL:
        raise MCPError(answers.DENIED, found.safe_message, {"status": "deny"})
    kind = {"resultType": "complete"} if "resultType" in result else {}  # of newer versions of the protocol
    return {**kind, "content": [{"type": "text", "text": found.safe_message}], "isError": True}
