"""Pydantic AI (pydantic-ai 2.68.0): a capability around each tool of an agent.

A call that waits ends the run with `DeferredToolRequests`, which must be among the agent's output types. Resume it
with `DeferredToolResults(approvals={id: True})`: the call is asked again, and that approval counts for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import RunContext
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, SkipToolExecution
from pydantic_ai.messages import ToolCallPart
from pydantic_ai.tools import ToolDefinition
from typing_extensions import override

from pdp.client.frameworks.tool_guard import FrameworkCall, RunIdentity, ToolGuard, identity


class ToolGuardCapability(AbstractCapability[Any]):
    """Lets `guard` decide each tool call, innermost of the agent's capabilities. `identify` takes the run's
    dependencies (`deps=`) to its identity."""

    def __init__(self, guard: ToolGuard, identify: Callable[[Any], RunIdentity] = identity) -> None:
        self._guard = guard
        self._identify = identify

    @override
    def get_ordering(self) -> CapabilityOrdering:
        return CapabilityOrdering(position="innermost")

    @override
    async def after_run(self, ctx: RunContext[Any], *, result: Any) -> Any:
        await asyncio.to_thread(self._guard.over, self._identify(ctx.deps))
        return result

    @override
    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        identity = self._identify(ctx.deps).in_run(ctx.conversation_id or "")
        framework_call = FrameworkCall(tool_def.name, args, call.tool_call_id, identity)
        verdict = await asyncio.to_thread(self._guard.ask, framework_call)
        if verdict.waiting is not None:
            raise ApprovalRequired(metadata=verdict.waiting)
        if not verdict.allowed:
            raise SkipToolExecution(verdict.message)
        try:
            result = await handler(args)
        except (ApprovalRequired, CallDeferred):  # the tool's own: it has not ended
            raise
        except Exception as error:
            await asyncio.to_thread(self._guard.ran, verdict, str(error), failed=True)
            raise
        return await asyncio.to_thread(self._guard.ran, verdict, result)
