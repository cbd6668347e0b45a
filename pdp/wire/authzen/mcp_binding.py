"""AuthZEN's MCP binding (COAZ-MCP, draft of 2026-07-17): questions about MCP requests, as calls and lists of our own.

What the binding leaves out is not made up. The server is the only one that the caller fronts; arguments are those
that the action's properties carry, and without them only a call counts that the signed schema lets have none.
Everything else, and what a mapping of a server's own makes of a call, is asked as an operation: denied unless it is
signed.
"""

from __future__ import annotations

from collections.abc import Mapping

from pdp.core.bytes.digest import Json, canonical
from pdp.core.call.methods import CALLS, COMPLETE, LISTS
from pdp.core.call.request import (
    Ask,
    Caller,
    Credential,
    GenericTarget,
    ListAsk,
    PromptTarget,
    ResourceTarget,
    SessionAsk,
    Target,
    ToolTarget,
)
from pdp.core.errors import Forbidden, InvalidRequest
from pdp.core.outcome.answer import ListAnswer
from pdp.wire.authzen import access_questions as questions
from pdp.wire.authzen.access_questions import AccessQuestion
from pdp.wire.authzen.options import AuthzenOptions
from pdp.wire.grpc.servicer import Services

INITIALIZE = "initialize"
SERVER = "mcp_server"
ARGUMENTS, AGENT = "arguments", "agent"
# what a schema may say without saying anything of members
_EMPTY = frozenset({"$schema", "type", "title", "description", "properties", "required", "additionalProperties"})


def is_call(asked: AccessQuestion) -> bool:
    """Whether it is about a request that reaches a tool, a resource or a prompt."""
    return asked.resource.type in CALLS.get(asked.action.name, ())


def is_list(asked: AccessQuestion) -> bool:
    """Whether it is about a list, or the beginning of a session."""
    return asked.resource.type == SERVER and asked.action.name in (*LISTS, INITIALIZE)


def server_of(caller: Caller) -> str:
    """The server that a caller without a choice asks about. Raises Forbidden."""
    if len(caller.servers) != 1 or "*" in caller.servers:
        raise Forbidden(
            "caller.server",
            "Questions of the MCP binding name no server; ask by a caller that has one in callers.<name>.servers.",
        )
    return next(iter(caller.servers))


class McpBinding:
    """Questions of the binding, asked of the services."""

    def __init__(self, services: Services, options: AuthzenOptions) -> None:
        self._services, self._options = services, options

    def ask(self, asked: AccessQuestion, caller: Caller, until_ns: int) -> Ask:
        """Our own request for a call. Raises Forbidden, InvalidRequest."""
        server, extra = server_of(caller), _asserted(asked)
        return Ask(
            request_id="",
            call_id="",
            method=asked.action.name,
            target=_target(asked, server, self._takes_none(asked, caller, server)),
            credential=_credential(asked, self._options),
            session=SessionAsk(),
            extra=canonical(extra) if extra else b"",
            until_ns=until_ns,
        )

    async def listed(self, asked: AccessQuestion, caller: Caller) -> tuple[bool, ListAnswer] | None:
        """Whether a list may be shown, which is all or nothing, or a session begin, in which something may be used;
        and the last answer that this rests on. None for another server's: that is no list of ours.

        Raises what `FilterTools` raises.
        """
        services, server, name = self._services, server_of(caller), asked.action.name
        registry, now = services.decide.state.snapshot().registry, services.decide.clock.now_ns()
        if asked.resource.id != (registry.resource(caller.tenant, server, now) or None):
            return None
        credential, begins = _credential(asked, self._options), name == INITIALIZE
        answer, permitted = None, False
        for method in LISTS if begins else (name,):
            ask = ListAsk("", server, (), credential, SessionAsk(), method=method)
            answer, _ = await services.filter(ask, caller)
            permitted = bool(answer.tools) and (begins or not answer.hidden)
            if permitted:
                break
        return (permitted, answer) if answer is not None else None

    def _takes_none(self, asked: AccessQuestion, caller: Caller, server: str) -> bool:
        """Whether the signed schema lets arguments have no member at all."""
        registry, target = self._services.decide.state.snapshot().registry, asked.resource
        pinned = registry.pinned(caller.tenant, server, target.id, target.type)
        schema = pinned.input_schema if pinned is not None else {}
        closed = schema.get("additionalProperties") is False and not schema.get("properties")
        return closed and schema.keys() <= _EMPTY and asked.action.name != COMPLETE


def _target(asked: AccessQuestion, server: str, takes_none: bool) -> Target:
    """What is asked for. Where its arguments are not known, it is the operation, which nobody has signed."""
    kind, name = asked.resource.type, asked.resource.id
    if kind == "resource" and asked.action.name != COMPLETE:
        return ResourceTarget(server, name)
    given = asked.action.properties.get(ARGUMENTS)
    if given is not None and not isinstance(given, Mapping):
        raise InvalidRequest(f"action.properties.{ARGUMENTS}", "must be an object")
    if given is None and not takes_none:
        return GenericTarget(kind, name, b"{}", server)
    arguments = canonical(dict(given or {}))
    if kind == "tool":
        return ToolTarget(server, name, None, "", arguments)
    if kind == "prompt":
        return PromptTarget(server, name, arguments)
    return ResourceTarget(server, name, None, arguments)


def _credential(asked: AccessQuestion, options: AuthzenOptions) -> Credential:
    """The subject on the caller's word, and the agent too: one that is not named is nobody, and never the caller."""
    agent = asked.context.get(AGENT)
    if not isinstance(agent, str | None):
        raise InvalidRequest(f"context.{AGENT}", "must be a string")
    return questions.credential(asked.subject, agent or "", options)


def _asserted(asked: AccessQuestion) -> dict[str, Json]:
    """What counts for nothing but to tighten: the rest of what was said."""
    action = {name: value for name, value in asked.action.properties.items() if name != ARGUMENTS}
    said: dict[str, Json] = {
        "subject": dict(asked.subject.properties),
        "action": action,
        "resource": dict(asked.resource.properties),
    }
    asserted: dict[str, Json] = {name: {"properties": value} for name, value in said.items() if value}
    return {**asserted, **({"context": dict(asked.context)} if asked.context else {})}
