"""Runs of a Strands agent with a model of its own interface, without a network."""

from __future__ import annotations

import json
from typing import Any

from driver import Run
from strands import tool
from strands.models import Model

from examples.frameworks.strands_agent import guarded


class Scripted(Model):
    """A model that calls one tool, then ends."""

    def __init__(self, name: str, arguments: Any) -> None:
        self._asked = {"name": name, "toolUseId": "call_1"}
        self._input = json.dumps(arguments)
        self._turns = 0

    def update_config(self, **_config: Any) -> None: ...

    def get_config(self) -> Any:
        return {}

    def structured_output(self, *_given: Any, **_more: Any) -> Any:
        raise AssertionError

    async def stream(self, *_given: Any, **_more: Any) -> Any:
        self._turns += 1
        first = self._turns == 1
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {"toolUse": self._asked} if first else {}}}
        delta = {"toolUse": {"input": self._input}} if first else {"text": "ended"}
        yield {"contentBlockDelta": {"delta": delta}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if first else "end_turn"}}


class Agent:
    def __init__(self, run: Run) -> None:
        self._run, self._result = run, None
        tools = [tool(each) for each in run.tools]
        self._agent = guarded(Scripted(run.tool, run.arguments), tools, run.guard)

    async def start(self) -> Any:
        return await self._go("go")

    async def resume(self, arguments: Any) -> Any:
        if arguments is not None:
            message = self._agent._interrupt_state.pending_tool_execution.assistant_message
            (asked,) = [each["toolUse"] for each in message["content"] if "toolUse" in each]
            asked["input"] = arguments
        answers = [{"interruptResponse": {"interruptId": i.id, "response": "again"}} for i in self._result.interrupts]
        return await self._go(answers)

    async def _go(self, given: Any) -> Any:
        self._result = result = await self._agent.invoke_async(given, invocation_state={"pdp": self._run.identity})
        if result.stop_reason == "interrupt":
            return result.interrupts[-1].reason, None
        content = [block for message in self._agent.messages for block in message["content"]]
        (told,) = [block["toolResult"] for block in content if "toolResult" in block]
        return None, told["content"][0]["text"].removeprefix("DENIED: ")
