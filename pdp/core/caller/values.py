"""Arguments and results of whoever asks, immutable: of the client, and of the gateways and hooks of the service."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Effect = Literal["allow", "deny", "pending"]
Kind = Literal["tool", "prompt", "resource"]
Outcome = Literal["done", "failed", "unknown"]
RequirementKind = Literal["judge", "confirmation", "approval", "consent", "unknown"]
Assurance = Literal["", "client_asserted", "signed_in", "passkey"]
Elicited = Literal["accept", "decline", "cancel"]
SAFE_MESSAGE = "This call is not available."
WITHHELD = "The result of this call is withheld."
JsonObject = Mapping[str, Any] | bytes | None  # a mapping, or JSON bytes that are passed on as they are


class NotARequestError(ValueError):
    """An argument cannot be encoded; the message names the argument, never its value."""


def encoded(value: JsonObject, name: str) -> bytes:
    """JSON bytes as they are, a mapping as JSON, None as nothing. Raises NotARequestError naming the argument."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, Mapping):
        raise NotARequestError(f"{name}: give a mapping or JSON bytes (of an SDK's tool object: `presented`)")
    try:
        return json.dumps(dict(value), allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotARequestError(f"{name}: cannot be written as JSON ({type(error).__name__})") from None


def presented(tool: Any) -> bytes:
    """The definition of a tool as a client of the `mcp` SDK read it from the server, for `definition` and
    `definitions`: by the names of the wire, with exactly the members that were sent. Raises TypeError for another
    object.

    What an SDK drops when it reads is gone: where a tool comes back as `tool.drifted`, give the JSON of the wire.
    """
    write = getattr(tool, "model_dump_json", None)
    if write is None:
        raise TypeError("tool: give a tool object of the mcp SDK; a mapping or JSON bytes are presented as they are")
    return str(write(by_alias=True, exclude_unset=True)).encode()


@dataclass(frozen=True, slots=True)
class Claims:
    """Identity claims that this caller has verified itself; they count only where its configuration says so."""

    issuer: str
    subject: str
    claims: JsonObject = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ServerPeer:
    """The identity that the MCP server has proved to you. Digests are SHA-256, lower-case hex."""

    spiffe_id: str = ""
    spki_digest: str = ""
    command_digest: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool. `tool` is the server's own name of it; `definition` is the tool as the server listed it
    (`presented` makes it from an SDK's object).

    With another `kind` it is one request about a prompt, or about a resource, whose URI is then `tool`. `method` is
    the MCP method if it is another than `tools/call`, `prompts/get` or `resources/read`.

    `call_id` names the one execution that is meant and stays the same when a pending call is asked again.
    `client_answers` are what the MCP client's user answered, by the id of the requirement; they count where this
    caller's configuration says so. `working_folder` is where the call would run; people are shown it, and what they
    answer holds there alone.
    """

    server: str
    tool: str
    arguments: JsonObject = field(default=None, repr=False)
    definition: JsonObject = field(default=None, repr=False)
    definition_digest: str = ""
    call_id: str = ""
    resume_token: str = field(default="", repr=False)
    observation: str = field(default="", repr=False)
    client_address: str = ""
    protocol_version: str = ""
    client_capabilities: JsonObject = None
    extra: JsonObject = None
    meta: JsonObject = None
    server_peer: ServerPeer | None = None
    client_answers: Mapping[str, Elicited] = field(default_factory=dict)
    kind: Kind = "tool"
    method: str = ""
    working_folder: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """A server's list of tools, or what else `method` lists. `definitions` are the tools as it listed them; None asks
    about its pinned list."""

    server: str
    definitions: Sequence[Mapping[str, Any] | bytes] | None = field(default=None, repr=False)
    protocol_version: str = ""
    server_peer: ServerPeer | None = None
    method: str = "tools/list"


Credential = str | Claims | None  # a str is the subject's access token, without the word Bearer


@dataclass(frozen=True, slots=True)
class Session:
    """The agent's session. `task` is what it was asked to do; `task_by_agent` says that the agent wrote it."""

    id: str = ""
    task: str = ""
    task_by_agent: bool = False
    parent: str = ""  # of a sub-agent: the `session_handle` of an answer to the agent that started it
    context_reset: bool = False


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason of an answer: for logs, never for a model. Codes `client.*` are this client's own."""

    code: str
    message: str = ""
    rule: str = ""
    control: str = ""
    pack: str = ""


class _Answer:
    """What all answers have."""

    __slots__ = ()
    reasons: tuple[Reason, ...]

    @property
    def code(self) -> str:
        """The first reason's code; "" where there is none."""
        return self.reasons[0].code if self.reasons else ""


@dataclass(frozen=True, slots=True)
class Obligation:
    """A duty of the caller that carries the call out. `parameters` is a JSON object as bytes."""

    kind: str
    code: str
    parameters: bytes


@dataclass(frozen=True, slots=True)
class Requirement:
    """An open requirement of a pending call. `expires_at` is in Unix seconds, None where there is none;
    `min_assurance` is that of a confirmation, "" for what is not said."""

    id: str
    kind: RequirementKind
    code: str
    url: str
    short_code: str
    expires_at: float | None
    approval_id: str = ""  # of the request that people answer; "" for a judge
    min_assurance: Assurance = ""


@dataclass(frozen=True, slots=True)
class Pending:
    """The pending part of an answer. Ask the same call again with `resume_token`, after `retry_after` seconds."""

    requirements: tuple[Requirement, ...]
    resume_token: str
    retry_after: float | None


@dataclass(frozen=True, slots=True)
class Record:
    """The position of the answer's record in the audit log."""

    log: str
    index: int
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class Decision(_Answer):
    """One answer. Act only if `allowed`, honouring every obligation, before `valid_until`.

    `effect` is what holds for this caller: an allow that this client cannot vouch for is a "deny" here, and its
    first reason says why. `server_code` is the service's code of an error, from its metadata. Only `safe_message`
    is fit for a model.
    """

    allowed: bool
    effect: Effect
    request_id: str
    reasons: tuple[Reason, ...]
    safe_message: str
    decision_id: str = ""
    obligations: tuple[Obligation, ...] = ()
    risk: Literal["low", "medium", "high", "critical"] = "critical"
    valid_until: float | None = None  # Unix seconds
    call_digest: str = ""
    redemption_id: str = ""
    pending: Pending | None = None
    policy_revision: str = ""
    policy_digest: str = ""
    record: Record | None = None
    server_code: str = ""
    session_handle: str = field(default="", repr=False)  # for a sub-agent's `Session.parent`
    observed: Effect | None = None  # what policy says, where it does not bind: of a client with `observe` alone

    def holds(self, at: float) -> bool:
        """True while the call may still be carried out at `at`, Unix seconds: for callers that wait in between."""
        return self.allowed and self.valid_until is not None and at < self.valid_until


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool, prompt or resource (by its URI) that the subject may see. `definition` is the JSON to pass on, instead
    of what the server sent."""

    name: str
    definition: bytes


@dataclass(frozen=True, slots=True)
class ToolList(_Answer):
    """A filtered list. Not `allowed`: it could not be decided, and `tools` is empty."""

    allowed: bool
    request_id: str
    tools: tuple[Tool, ...]
    reasons: tuple[Reason, ...]
    safe_message: str
    decision_id: str = ""
    hidden: tuple[tuple[str, tuple[Reason, ...]], ...] = ()  # (name, why): for logs only
    valid_until: float | None = None  # Unix seconds
    record: Record | None = None
    server_code: str = ""


@dataclass(frozen=True, slots=True)
class Waited(_Answer):
    """The result of a wait. `again`: ask the same call again now, with its `resume_token`; that permits nothing.

    Not `again` and no `reasons`: it still waits for `requirements`, so wait again. With reasons the wait failed, and
    the state of the call is unknown; `gone` says that no request has the token (any more), so do not wait on it.
    """

    again: bool
    requirements: tuple[Requirement, ...] = ()
    reasons: tuple[Reason, ...] = ()
    server_code: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Reported(_Answer):
    """Whether an outcome is `noted`, durably. If not, the reasons say why; report the same again."""

    noted: bool
    record: Record | None = None
    reasons: tuple[Reason, ...] = ()
    server_code: str = ""


@dataclass(frozen=True, slots=True)
class Inspected(_Answer):
    """The answer about one result. Pass on `result`, which is a copy with everything cut out that has to be, and only
    if it `passes`; in its place `safe_message`. `labels` are what the result put on its session."""

    passes: bool
    request_id: str
    reasons: tuple[Reason, ...]
    safe_message: str
    result: Any = field(default=None, repr=False)
    decision_id: str = ""
    labels: tuple[str, ...] = ()
    record: Record | None = None
    server_code: str = ""


def refused(request_id: str, code: str, message: str, server_code: str = "") -> Decision:
    """A denial of this client's own."""
    return Decision(False, "deny", request_id, (Reason(code, message),), SAFE_MESSAGE, server_code=server_code)


def withheld(request_id: str, code: str, message: str, server_code: str = "") -> Inspected:
    """A result that this client withholds."""
    return Inspected(False, request_id, (Reason(code, message),), WITHHELD, server_code=server_code)
