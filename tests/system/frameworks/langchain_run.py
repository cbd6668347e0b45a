"""Runs of a LangChain agent with its own fake model: begun in a loop, resumed in a thread."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from driver import Run
from langchain.tools import tool
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver

from examples.frameworks.langchain_agent import guarded
from pdp.client.frameworks.langchain import resumed


class Model(GenericFakeChatModel):
    """The fake model, which knows no tools and needs to know none."""

    def bind_tools(self, _tools: Any, **_more: Any) -> Any:
        return self


class Agent:
    def __init__(self, run: Run) -> None:
        self._run = run
        asked = [{"name": name, "args": arguments, "id": id_} for id_, name, arguments in run.calls]
        replies = iter([AIMessage("", tool_calls=asked), AIMessage("ended")])
        tools = [tool(each) for each in run.tools]
        self._agent = guarded(Model(messages=replies), tools, run.guard, InMemorySaver())
        self._config = {"configurable": {"thread_id": run.identity.run}}

    async def start(self) -> Any:
        given = {"messages": [("user", "go")]}
        return self._state(await self._agent.ainvoke(given, self._config, context=self._run.identity))

    async def resume(self, arguments: Any) -> Any:
        if arguments is not None:
            last = self._agent.get_state(self._config).values["messages"][-1]
            changed = {**last.tool_calls[0], "args": arguments}
            update = {"messages": [last.model_copy(update={"tool_calls": [changed]})]}
            self._config = self._agent.update_state(self._config, update, as_node="model")
            return self._state(await self._agent.ainvoke(None, self._config, context=self._run.identity))
        waits = resumed(self._agent.get_state(self._config).interrupts)
        resume = functools.partial(self._agent.invoke, waits, self._config)
        return self._state(await asyncio.to_thread(resume, context=self._run.identity))

    def _state(self, result: Any) -> Any:
        interrupts = result.get("__interrupt__")
        if interrupts:
            return interrupts[0].value, None
        told = {each.tool_call_id: each.content for each in result["messages"] if isinstance(each, ToolMessage)}
        return None, told["call_1"], told.get("call_2")
