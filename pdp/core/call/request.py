"""Requests as values: the proto messages after the codec, before any fact is established.

Everything here is as the caller sent it and is trusted accordingly.
"""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum

from pdp.core.frozen import frozen

ANY_TENANT = "*"  # an operator's tenant in the configuration: acts on all of them


class Role(StrEnum):
    """Caller roles; a caller has none unless its configuration says so."""

    DECIDE = "decide"
    EXPLAIN = "explain"
    APPROVE = "approve"
    SUBJECT = "subject"
    AUDIT = "audit"
    OPERATE = "operate"


@frozen
class MayAssert:
    """The statements that a caller's configuration lets it vouch for."""

    claims: tuple[str, ...] = ()  # issuers whose claims it may pass on without the token
    task: bool = False
    context_reset: bool = False
    groups: bool = False
    server_peer: bool = False  # how a server proved itself to it
    observation: bool = False  # that the text came from where it says, and not from the agent
    client_answers: bool = False  # what its client's user answered to confirmations
    properties: bool = False  # of subjects and resources outside MCP
    effects: bool = False  # what a tool was seen to do


@frozen
class Caller:
    """The authenticated workload that asks: the PEP. Comes from configuration, never from the request, but for the
    token that it showed, if any: that is to be found where it does not belong, and its repr never shows it."""

    name: str
    tenant: str
    roles: frozenset[Role]
    servers: frozenset[str]  # server ids; "*" means every server of its tenant
    resources: tuple[str, ...] = ()  # audiences of the gateway itself, when it fronts servers
    may_assert: MayAssert = field(default_factory=MayAssert)
    dedupes_redemptions: bool = False
    inspects_results: bool = False  # every result passes InspectResult before an agent sees it
    max_worker_kills_per_minute: int = 6
    person_clients: frozenset[str] = frozenset()  # clients of the tokens that people act with here
    observed_until_ns: int = 0  # until then what policy denies it does not bind it; 0: it always does
    observed_servers: frozenset[str] = frozenset()  # about which; "*" is every server
    token: str = field(default="", repr=False, compare=False)

    def observed(self, server: str, at_ns: int) -> bool:
        """Whether an operator only watches what policy would answer this caller about `server`."""
        return at_ns < self.observed_until_ns and not self.observed_servers.isdisjoint(("*", server))

    def fronts(self, server: str) -> bool:
        """True when this caller may ask about `server`."""
        return "*" in self.servers or server in self.servers


@frozen
class Peer:
    """The peer of the connection, as the transport verified it."""

    transport: str  # "unix" | "loopback" | "tls" | "mtls"
    sans: tuple[str, ...] = ()  # SANs of the verified client certificate, e.g. "uri:spiffe://..", "dns:gw"
    authorization: str = ""  # the `authorization` metadata, verbatim
    unreadable: bool = False  # the client certificate is malformed, or a name in it holds control characters
    until_ns: int = 0  # when the client certificate is no longer valid, Unix nanoseconds; 0 without one


@frozen
class ServerPeer:
    """The MCP server's proof of identity, as stated by the caller; "" for a form that it did not see."""

    spiffe_id: str = ""
    spki_digest: str = ""  # SHA-256 of the DER SubjectPublicKeyInfo, lower-case hex
    command_digest: str = ""  # SHA-256 of the command of a stdio server, lower-case hex


@frozen
class ToolTarget:
    """A tool call. `definition` is the full definition as presented; a bare digest is only asserted."""

    server: str
    name: str
    definition: bytes | None
    definition_digest: str
    arguments: bytes  # JSON object, as bytes
    kind: str = "tool"


@frozen
class ResourceTarget:
    """A resource; `name` is its URI, of a completion the URI template, whose values so far are the `arguments`."""

    server: str
    name: str
    definition: bytes | None = None  # as presented
    arguments: bytes = b""
    kind: str = "resource"


@frozen
class PromptTarget:
    """A prompt."""

    server: str
    name: str
    arguments: bytes
    definition: bytes | None = None  # as presented
    kind: str = "prompt"


@frozen
class GenericTarget:
    """An action on a resource outside MCP, by type and id; the action is the request's `method`. Without a `server`
    it is answered with `target.unsupported`."""

    type: str
    name: str
    arguments: bytes  # JSON object, as bytes
    server: str = ""
    kind: str = "generic"


Target = ToolTarget | ResourceTarget | PromptTarget | GenericTarget


@frozen
class Bearer:
    """A subject's access token. Its repr never shows it."""

    token: str = field(repr=False)


@frozen
class AssertedClaims:
    """Identity claims without their token; they count only from a caller that may vouch for the issuer."""

    issuer: str
    subject: str
    claims: bytes = field(repr=False)  # JSON object


@frozen
class NoCredential:
    """The request names no subject."""


Credential = Bearer | AssertedClaims | NoCredential


@frozen
class SessionAsk:
    """The session as the caller names it. State, never identity."""

    id: str = ""
    task: str = ""
    task_by_agent: bool = False  # the caller says that the agent wrote the task: then it is never vouched for
    parent: str = ""
    task_token: str = ""
    handle: str = ""
    context_reset: bool = False


@frozen
class ClientAnswer:
    """What a caller's client says that its user answered to a requirement: "accept", "decline" or "cancel"."""

    requirement_id: str
    answer: str


@frozen
class Ask:
    """One decision request."""

    request_id: str
    call_id: str
    method: str  # MCP method, for example "tools/call"
    target: Target
    credential: Credential
    session: SessionAsk
    protocol_version: str = ""
    client_capabilities: bytes = b""
    supported_obligations: tuple[str, ...] = ()
    client_address: str = ""
    observation: str = ""
    extra: bytes = b""
    resume_token: str = ""
    client_answers: tuple[ClientAnswer, ...] = ()
    server_peer: ServerPeer = field(default_factory=ServerPeer)
    working_folder: str = ""  # where the call would run, for people; no fact is made of it
    meta: bytes = b""  # `_meta` of the MCP request, JSON; no fact is made of it
    until_ns: int = 0  # monotonic; when the caller stops waiting, 0 without a deadline. No part of the request digest

    @property
    def fact_bytes(self) -> int:
        """The size, in UTF-8, of the caller's own texts and JSON in the facts, identity apart."""
        texts = (self.observation.encode(), self.session.task.encode())
        return sum(map(len, (self.target.arguments, self.extra, self.client_capabilities, *texts)))


@frozen
class ResultAsk:
    """A result to be inspected, whole. `is_error`, `effects` and `observed` are asserted: that the tool reported an
    error, what it was seen to do, and how much could be seen. `of` is the server and the method that answered, where
    a gateway knows them."""

    request_id: str
    decision_id: str
    redemption_id: str
    credential: Credential
    session: SessionAsk
    content_type: str = ""
    supported_obligations: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)
    is_error: bool = False
    effects: tuple[tuple[str, str, bytes], ...] = ()  # kind, object, detail as JSON
    observed: tuple[tuple[str, ...], str] | None = (
        None  # kinds looked at, why some may be missed; None: nobody looked
    )
    of: tuple[str, str] | None = None


@frozen
class ListAsk:
    """A request to filter a server's tool list for one subject."""

    request_id: str
    server: str
    definitions: tuple[bytes, ...]  # as presented; empty means the whole pinned list, unless `presented_only`
    credential: Credential
    session: SessionAsk
    presented_only: bool = False
    method: str = "tools/list"
    asserted: tuple[tuple[str, bytes], ...] = ()  # JSON by its field, on which no list rests; it has to be sound
    protocol_version: str = ""
    server_peer: ServerPeer = field(default_factory=ServerPeer)
