"""One request to the endpoint: a session of its own, without tools, without history, stored nowhere.

What it holds of us is the model's name, the prompt, the data and a random identifier. Nothing of it is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import openai

from pdp.core.digest import Json
from pdp.core.judge.judge_input import Rendered
from pdp.judge import egress
from pdp.judge.limits import Limits, read_limits
from pdp.judge.options import JudgeOptions
from pdp.judge.response import MAX_TOKENS, Attempt, EndpointError, Reply, UnreadableError, read_chat, read_response

REPAIR = (
    "Answer with exactly one JSON object of the form that was asked for: nothing before it, nothing after it, and no "
    "code fence."
)
_FILTERED = frozenset({"content_filter", "content_policy_violation"})
_PASSING = frozenset({408, 409, 429})  # and everything from 500 on: the same request may work later
_RATE = 429
_OUT_OF_CREDIT = "insufficient_quota"
_SECRET = 16  # characters; what endpoints without keys are given in place of one ("none") may stand anywhere

log = logging.getLogger("pdp.judge")

for _name in ("openai", "httpx2", "httpcore2"):  # they would log requests where somebody turned that on
    logging.getLogger(_name).setLevel(logging.ERROR)


class _SaidKeyError(UnreadableError):
    """What can be read holds the key."""


class Endpoint:
    """The model. `identifier` makes random text; `wall_s` is Unix time."""

    def __init__(
        self, options: JudgeOptions, key: str, *, identifier: Callable[[], str], wall_s: Callable[[], float]
    ) -> None:
        """Raises ConfigurationFault for an authority that cannot be read."""
        self._options, self._identifier, self._wall_s = options, identifier, wall_s
        self._key = key
        self._client = openai.AsyncOpenAI(
            api_key=key or "none",  # the library wants one; without a key it is not sent
            organization="",
            project="",
            base_url=options.url,
            max_retries=0,
            http_client=egress.client(options, authorized=bool(key)),
        )

    async def ask(self, rendered: Rendered, seconds: float, *, repair: bool = False) -> Attempt:
        """Ask once, for at most `seconds`. `repair` asks for the form once more, in so many words."""
        system = f"{rendered.system}\n\n{REPAIR}" if repair else rendered.system
        try:
            async with asyncio.timeout(seconds):
                headers, body = await self._request(rendered, system)
        except (TimeoutError, openai.APITimeoutError):
            # one that had less time than it may take says nothing about the endpoint
            return Attempt(
                EndpointError("timeout", again=True, ill=seconds >= self._options.attempt_seconds), Limits()
            )
        except openai.APIStatusError as error:
            return Attempt(_refused(error), read_limits(error.response.headers, self._wall_s()))
        except openai.OpenAIError:
            return Attempt(EndpointError("endpoint", again=True, ill=True), Limits())
        limits = read_limits(headers, self._wall_s())
        try:
            return Attempt(self._read(body), limits)
        except _SaidKeyError:  # it may have said a verdict too: nobody asks for a kinder one
            return Attempt(EndpointError("endpoint", ill=True), limits)
        except UnreadableError:
            return Attempt(EndpointError("endpoint", again=True, ill=True), limits)

    async def close(self) -> None:
        """End its connections."""
        await self._client.close()

    async def _request(self, rendered: Rendered, system: str) -> tuple[Mapping[str, str], bytes]:
        chat, responses = self._client.chat.completions, self._client.responses
        if self._options.api == "chat":
            raw = await chat.with_raw_response.create(**self._chat(rendered, system))
        else:
            raw = await responses.with_raw_response.create(**self._response(rendered, system))
        return raw.headers, raw.content

    def _read(self, body: bytes) -> Reply:
        """What it answered. The key leaves this process for the endpoint only. Raises UnreadableError."""
        reply = read_chat(body) if self._options.api == "chat" else read_response(body)
        if len(self._key) >= _SECRET and any(self._key in told for told in (reply.text, reply.finish, reply.model)):
            log.error("the endpoint said the key, so its answer was thrown away: something there echoes requests")
            raise _SaidKeyError
        return reply

    def _chat(self, rendered: Rendered, system: str) -> dict[str, Any]:
        settings = dict(rendered.settings)
        messages = [{"role": "system", "content": system}, {"role": "user", "content": rendered.user}]
        body: dict[str, Any] = {
            "model": self._options.model,
            "messages": messages,
            "store": False,
            "user": self._identifier(),
            self._options.preset.max_tokens: settings.pop("max_tokens", MAX_TOKENS),
            **{name: settings[name] for name in _CHAT if name in settings},
        }
        if self._options.form == "json_schema":
            schema = {"name": "verdict", "strict": True, "schema": rendered.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self._options.form == "json_object":
            body["response_format"] = {"type": "json_object"}
        return body

    def _response(self, rendered: Rendered, system: str) -> dict[str, Any]:
        settings = rendered.settings
        body: dict[str, Any] = {
            "model": self._options.model,
            "instructions": system,
            "input": [{"role": "user", "content": rendered.user}],
            "store": False,
            "user": self._identifier(),
            "max_output_tokens": settings.get("max_tokens", MAX_TOKENS),
            **{name: settings[name] for name in _RESPONSE if name in settings},
        }
        if "reasoning_effort" in settings:
            body["reasoning"] = {"effort": settings["reasoning_effort"]}
        if self._options.form == "json_schema":
            schema: Mapping[str, Json] = rendered.schema
            body["text"] = {"format": {"type": "json_schema", "name": "verdict", "strict": True, "schema": schema}}
        elif self._options.form == "json_object":
            body["text"] = {"format": {"type": "json_object"}}
        return body


_CHAT = ("temperature", "top_p", "seed", "reasoning_effort")
_RESPONSE = ("temperature", "top_p")


def _refused(error: openai.APIStatusError) -> EndpointError:
    code, status = error.code, error.status_code
    if code in _FILTERED:
        return EndpointError("filtered")
    if status == _RATE:
        return EndpointError("rate_limited", again=code != _OUT_OF_CREDIT)
    if status in _PASSING or status >= 500:
        return EndpointError("endpoint", again=True, ill=True)
    # 400 and 422 are about this one request; anything else (401, 404, a redirect) is about all of them
    return EndpointError("endpoint", ill=status not in {400, 413, 422})
