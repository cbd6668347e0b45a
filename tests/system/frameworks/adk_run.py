"""Runs of an agent of Google ADK with a model of its own interface, without a network."""

from __future__ import annotations

from typing import Any

from driver import Run
from google.adk.models import BaseLlm, LlmResponse
from google.genai import types

from examples.frameworks.adk_agent import guarded

CONFIRM = "adk_request_confirmation"


class Scripted(BaseLlm):
    """A model that calls tools in one turn, then ends."""

    asked: Any
    turns: int = 0

    async def generate_content_async(self, _request: Any, stream: bool = False) -> Any:  # noqa: ARG002 - ADK names it
        self.turns += 1
        asked = [types.Part(function_call=call) for call in self.asked]
        parts = asked if self.turns == 1 else [types.Part(text="ended")]
        yield LlmResponse(content=types.Content(role="model", parts=parts))


class Agent:
    def __init__(self, run: Run) -> None:
        self._run, self._confirm = run, list[str]()
        self._told: dict[str, Any] = {}
        asked = [types.FunctionCall(id=id_, name=name, args=arguments) for id_, name, arguments in run.calls]
        self._runs: dict[str, Any] = {}
        self._model = Scripted(model="scripted", asked=asked)
        self._runner = guarded(self._model, run.tools, run.guard, self._runs)

    async def start(self) -> Any:
        self._session = await self._runner.session_service.create_session(app_name="assistant", user_id="u")
        self._runs[self._session.id] = self._run.identity
        return await self._go(types.Part(text="go"))

    async def resume(self, arguments: Any) -> Any:
        if arguments is not None:
            stored = self._runner.session_service.sessions["assistant"]["u"][self._session.id]
            for event in stored.events:
                for call in event.get_function_calls():
                    if call.name == CONFIRM:
                        call.args["originalFunctionCall"]["args"] = arguments
                    else:
                        call.args = arguments
        session = await self._runner.session_service.get_session(
            app_name="assistant", user_id="u", session_id=self._session.id
        )
        calls = [call for event in session.events for call in event.get_function_calls()]
        (plugin,) = self._runner.plugin_manager.plugins
        answers = []
        for confirmation in [call for call in calls if call.id in self._confirm]:
            if not await plugin.settled(confirmation, self._run.identity, session.id):
                asked = confirmation.args["originalFunctionCall"]["id"]
                return self._run.guard.waits(asked, self._run.identity), None
            answers.append(types.FunctionResponse(id=confirmation.id, name=CONFIRM, response={"confirmed": True}))
        self._confirm.clear()
        return await self._go(*(types.Part(function_response=answer) for answer in answers))

    async def _go(self, *parts: Any) -> Any:
        message, waiting = types.Content(role="user", parts=list(parts)), None
        async for event in self._runner.run_async(user_id="u", session_id=self._session.id, new_message=message):
            for call in event.get_function_calls():
                if call.name == CONFIRM:
                    self._confirm.append(call.id)
            for asked in event.actions.requested_tool_confirmations.values():
                waiting = asked.payload
            for response in event.get_function_responses():
                self._told[response.id] = response.response["result"]
        if waiting is not None:
            assert self._model.turns == 1, "the model is called again while people are asked"
            return waiting, None
        return None, self._told.get("call_1"), self._told.get("call_2")
