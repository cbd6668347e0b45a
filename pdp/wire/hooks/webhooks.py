"""Agents that ask by HTTP before a tool runs: what their requests mean, and answers in their own forms.

Every answer about a call has status 200 and says itself whether it blocks: of another status, or of silence, agents
make what their settings say, and by default they go on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs

from typing_extensions import override

from pdp.client.values import Claims, Credential
from pdp.core.bytes.digest import canonical
from pdp.core.bytes.strict_json import parse_object
from pdp.core.call.request import Caller
from pdp.host.http_listener import HttpCall, HttpReply
from pdp.wire.hooks.agents import AGENTS, NOT_DECIDED, HookCall, NotAnEventError
from pdp.wire.hooks.options import ClaudeCodeOptions, CopilotStudioOptions
from pdp.wire.hooks.own_tools import own_tool

SUBJECT_TOKEN = "pdp-subject-token"  # the header with the access token of the agent's user  # noqa: S105
VERSION = "2025-05-01"  # of Copilot Studio's interface
_DEPTH, _VALUES = 64, 1 << 17
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_MAX_NAME = 256  # characters


@dataclass(frozen=True, slots=True)
class HookQuestion:
    """A call that an agent asks about."""

    server: str
    call: HookCall
    credential: Credential
    definition: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the agent is told. `text` is fit for a model; `reason` is a number for the vendor's telemetry."""

    allowed: bool
    text: str = ""
    reason: int = 0
    decision_id: str = ""
    why: str = ""  # for our telemetry, where the reason does not say it all

    @property
    def outcome(self) -> str:
        """The answer in a word."""
        return self.why or _OUTCOMES[self.reason]


DENIED, PENDING, UNDECIDED, MALFORMED = 1, 2, 3, 4  # reasons
_OUTCOMES = ("allowed", "denied", "pending", "undecided", "malformed")
UNANSWERED = HookAnswer(allowed=False, text=NOT_DECIDED, reason=UNDECIDED)
LATE = HookAnswer(
    allowed=False, text="The call was not decided in time, so it is blocked. Try again.", reason=UNDECIDED, why="late"
)
REFUSED = replace(UNANSWERED, why="refused")  # the caller is none that may ask


class Webhook(Protocol):
    """One agent's way to ask. `seconds` is within which it is answered, `rpc` what records call it."""

    rpc: ClassVar[str]
    seconds: float

    def asked(self, request: HttpCall, caller: Caller) -> HookQuestion:
        """The call of a request. Raises NotAnEventError, InvalidRequest."""
        ...

    def reply(self, verdict: HookAnswer) -> HttpReply:
        """The answer in the vendor's form."""
        ...


def _json(value: Mapping[str, Any], status: int = 200) -> HttpReply:
    return HttpReply(status, json.dumps(value).encode(), "application/json")


@dataclass(frozen=True, slots=True)
class ClaudeCode(Webhook):
    """Claude Code's HTTP hooks (2.1.295): the event of its command hooks, posted. An allow is no decision, so that
    the agent's own rules stay in force."""

    rpc: ClassVar[str] = "ClaudeCodeHook"
    options: ClaudeCodeOptions
    principals_issuer: str | None
    seconds: float

    @override
    def asked(self, request: HttpCall, caller: Caller) -> HookQuestion:
        agent = AGENTS["claude-code"]
        call = agent.call(request.body)
        tool = None if call.server else own_tool(agent.id, call.tool)
        server = self.options.servers.get(call.server, call.server) if call.server else self.options.server
        return HookQuestion(
            server, call, self._subject(request, caller), tool.definition if tool is not None else None
        )

    def _subject(self, request: HttpCall, caller: Caller) -> Credential:
        token = request.headers.get(SUBJECT_TOKEN)
        return token if token is not None else _itself(self.principals_issuer, caller.name, "claude-code")

    @override
    def reply(self, verdict: HookAnswer) -> HttpReply:
        if verdict.allowed:
            return _json({})
        said = {"permissionDecision": "deny", "permissionDecisionReason": verdict.text}
        return _json({"hookSpecificOutput": {"hookEventName": "PreToolUse", **said}})


@dataclass(frozen=True, slots=True)
class CopilotStudio(Webhook):
    """Copilot Studio's external threat detection (2025-05-01). The user is who its service says; an agent that a
    trigger has started has none."""

    rpc: ClassVar[str] = "CopilotStudioHook"
    options: CopilotStudioOptions
    principals_issuer: str | None
    seconds: float
    max_bytes: int

    @override
    def asked(self, request: HttpCall, caller: Caller) -> HookQuestion:
        if not is_version(request):
            raise NotAnEventError(f"api-version: must be {VERSION}")
        given, _ = parse_object(
            request.body, "the body", max_bytes=self.max_bytes, max_depth=_DEPTH, max_values=_VALUES
        )
        tool, about = _object(given, "toolDefinition"), _object(given, "conversationMetadata")
        agent = _text(_object(about, "agent", "conversationMetadata."), "id", "conversationMetadata.agent.")
        server = self.options.agents.get(agent)
        if server is None:
            raise NotAnEventError("conversationMetadata.agent.id: is none that hooks.copilot_studio.agents has")
        session = _text(about, "conversationId", "conversationMetadata.")
        call = HookCall(_text(tool, "id", "toolDefinition."), _object(given, "inputValues"), session, server)
        return HookQuestion(server, call, self._subject(about, agent))

    def _subject(self, about: Mapping[str, Any], agent: str) -> Credential:
        user = about.get("user")
        if user is None:
            return _itself(self.principals_issuer, agent, agent)
        where = "conversationMetadata.user."
        if not isinstance(user, dict):
            raise NotAnEventError(f"{where[:-1]}: must be an object")
        tenant, id_ = _text(user, "tenantId", where).lower(), _text(user, "id", where)
        if _GUID.fullmatch(tenant) is None:
            raise NotAnEventError(f"{where}tenantId: must be a GUID")
        return _claimed(f"https://login.microsoftonline.com/{tenant}/v2.0", id_, agent)

    @override
    def reply(self, verdict: HookAnswer) -> HttpReply:
        if verdict.allowed:
            return _json({"blockAction": False})
        said: dict[str, Any] = {"blockAction": True, "reasonCode": verdict.reason, "reason": verdict.text}
        if verdict.decision_id:
            said["diagnostics"] = json.dumps({"decision_id": verdict.decision_id})
        return _json(said)


def is_version(request: HttpCall) -> bool:
    """Whether a request of Copilot Studio is in the version that is read here."""
    query = request.target.partition("?")[2]
    return parse_qs(query, keep_blank_values=True).get("api-version") == [VERSION]


def validated(code: int, message: str = "") -> HttpReply:
    """The answer to `validate` of Copilot Studio; `code` is an HTTP status."""
    if code == 200:
        return _json({"isSuccessful": True, "status": "OK"})
    return _json({"errorCode": code, "message": message, "httpStatus": code}, code)


def correlation(request: HttpCall) -> str:
    """The id by which Copilot Studio traces a request, "" where it is none."""
    stated = request.headers.get("x-ms-correlation-id", "").lower()
    return stated if _GUID.fullmatch(stated) else ""


def _itself(issuer: str | None, subject: str, agent: str) -> Credential:
    return None if issuer is None else _claimed(issuer, subject, agent)


def _claimed(issuer: str, subject: str, agent: str) -> Credential:
    return Claims(issuer, subject, canonical({"sub": subject, "client_id": agent}))


def _object(given: Mapping[str, Any], key: str, where: str = "") -> Mapping[str, Any]:
    value = given.get(key)
    if not isinstance(value, dict):
        raise NotAnEventError(f"{where}{key}: must be an object")
    return value


def _text(given: Mapping[str, Any], key: str, where: str) -> str:
    value = given.get(key)
    if not isinstance(value, str) or not value or len(value) > _MAX_NAME:
        raise NotAnEventError(f"{where}{key}: must be a text that is not empty, of {_MAX_NAME} at most")
    return value
