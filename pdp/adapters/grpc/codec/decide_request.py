"""Codec, inwards: what is asked about calls and lists, from `pdp.v1` to `core.request`.

Only presence and shape are looked at; whether what is said is true is for the service to find out. Fields that the
contract marks as reserved are left out, which never loosens an answer.
"""

from __future__ import annotations

from collections.abc import Iterable

from pdp.adapters.grpc.codec import fields
from pdp.adapters.grpc.codec.enums import CLIENT_ANSWERS
from pdp.core.errors import InvalidRequest
from pdp.core.request import (
    Ask,
    AssertedClaims,
    Bearer,
    ClientAnswer,
    Credential,
    GenericTarget,
    ListAsk,
    NoCredential,
    PromptTarget,
    ResourceTarget,
    ServerPeer,
    SessionAsk,
    Target,
    ToolTarget,
)
from pdp.v1 import decision_pb2, types_pb2

METHOD_TOOL_LIST = "tools/list"


def ask(request: decision_pb2.DecideRequest, until_ns: int = 0) -> Ask:
    """A DecideRequest; `until_ns` is when its caller stops waiting. Raises InvalidRequest naming the field."""
    request_id = fields.request_id(request.request_id)
    context = request.context
    return Ask(
        request_id=request_id,
        call_id=fields.name(request.call_id, "call_id"),
        method=fields.name(request.method, "method", limit=fields.MAX_WORD, mandatory=True),
        target=_target(request.target),
        credential=credential(request.credential),
        session=_session(request.session),
        protocol_version=fields.name(request.protocol_version, "protocol_version", limit=fields.MAX_WORD),
        client_capabilities=fields.data(request.client_capabilities_json, "client_capabilities_json"),
        supported_obligations=_obligations(request.supported_obligations),
        client_address=fields.address(context.client_address, "context.client_address"),
        observation=fields.text(context.observation, "context.observation", fields.MAX_OBSERVATION),
        extra=fields.data(context.extra_json, "context.extra_json"),
        meta=fields.data(context.meta_json, "context.meta_json"),
        resume_token=fields.name(request.resume_token, "resume_token", limit=fields.MAX_TOKEN),
        client_answers=_client_answers(request.client_answers),
        server_peer=_server_peer(request.server_peer),
        until_ns=until_ns,
    )


def list_ask(request: decision_pb2.FilterToolsRequest) -> ListAsk:
    """A FilterToolsRequest. Raises InvalidRequest naming the field."""
    request_id = fields.request_id(request.request_id)
    server = fields.name(request.server, "server", mandatory=True)
    fields.count(request.definitions_json, "definitions_json", fields.MAX_DEFINITIONS)
    context = request.context
    fields.address(context.client_address, "context.client_address")
    fields.text(context.observation, "context.observation", fields.MAX_OBSERVATION)
    asserted = (
        ("client_capabilities_json", request.client_capabilities_json),
        ("context.extra_json", context.extra_json),
        ("context.meta_json", context.meta_json),
    )
    return ListAsk(
        request_id=request_id,
        server=server,
        definitions=tuple(
            fields.data(raw, f"definitions_json[{i}]") for i, raw in enumerate(request.definitions_json)
        ),
        credential=credential(request.credential),
        session=_session(request.session),
        presented_only=request.presented_only,
        method=fields.name(request.method, "method", limit=fields.MAX_WORD) or METHOD_TOOL_LIST,
        asserted=tuple((field, fields.data(raw, field)) for field, raw in asserted),
        protocol_version=fields.name(request.protocol_version, "protocol_version", limit=fields.MAX_WORD),
        server_peer=_server_peer(request.server_peer),
    )


def _target(target: types_pb2.Target) -> Target:
    match target.WhichOneof("kind"):
        case "tool":
            return _tool(target.tool)
        case "resource":
            uri = fields.name(target.resource.uri, "target.resource.uri", limit=fields.MAX_URI, mandatory=True)
            return ResourceTarget(_server(target.resource.server, "target.resource.server"), uri)
        case "prompt":
            return PromptTarget(
                _server(target.prompt.server, "target.prompt.server"),
                fields.name(target.prompt.name, "target.prompt.name", mandatory=True),
                fields.data(target.prompt.arguments_json, "target.prompt.arguments_json"),
            )
        case "generic":
            return GenericTarget(
                fields.name(target.generic.type, "target.generic.type", mandatory=True),
                fields.name(target.generic.id, "target.generic.id", mandatory=True),
                fields.data(target.generic.properties_json, "target.generic.properties_json"),
            )
        case _:
            raise InvalidRequest("target", "is missing; set exactly one of tool, resource, prompt and generic")


def _tool(tool: types_pb2.ToolTarget) -> ToolTarget:
    presented = tool.WhichOneof("presented")
    path = "target.tool"
    definition = None
    if presented == "definition_json" and tool.definition_json:  # empty bytes mean "not given"
        definition = fields.data(tool.definition_json, f"{path}.definition_json")
    return ToolTarget(
        server=_server(tool.server, f"{path}.server"),
        name=fields.name(tool.name, f"{path}.name", mandatory=True),
        definition=definition,
        definition_digest=fields.name(tool.definition_digest, f"{path}.definition_digest", limit=fields.MAX_WORD),
        arguments=fields.data(tool.arguments_json, f"{path}.arguments_json", fields.MAX_ARGUMENTS_BYTES) or b"{}",
    )


def _server(value: str, field: str) -> str:
    return fields.name(value, field, mandatory=True)


def _server_peer(peer: types_pb2.ServerPeer) -> ServerPeer:
    return ServerPeer(
        spiffe_id=fields.name(peer.spiffe_id, "server_peer.spiffe_id", limit=fields.MAX_URI),
        spki_digest=fields.name(peer.spki_digest, "server_peer.spki_digest", limit=fields.MAX_WORD),
        command_digest=fields.name(peer.command_digest, "server_peer.command_digest", limit=fields.MAX_WORD),
    )


def credential(given: types_pb2.Credential) -> Credential:
    """On whose behalf, or who acts. Nothing set is NoCredential. Raises InvalidRequest naming the field."""
    match given.WhichOneof("kind"):
        case "bearer":
            token = fields.text(given.bearer, "credential.bearer", fields.MAX_TOKEN)
            return Bearer(token) if token else NoCredential()
        case "claims":
            claims, path = given.claims, "credential.claims"
            return AssertedClaims(
                fields.name(claims.issuer, f"{path}.issuer", limit=fields.MAX_URI, mandatory=True),
                fields.name(claims.subject, f"{path}.subject", mandatory=True),
                fields.data(claims.claims_json, f"{path}.claims_json") or b"{}",
            )
        case _:
            return NoCredential()


def _session(session: types_pb2.Session) -> SessionAsk:
    return SessionAsk(
        id=fields.name(session.id, "session.id"),
        task=fields.text(session.task, "session.task", fields.MAX_TASK),
        task_by_agent=session.task_by_agent,
        parent=fields.name(session.parent, "session.parent", limit=fields.MAX_TOKEN),
        task_token=fields.name(session.task_token, "session.task_token", limit=fields.MAX_TOKEN),
        handle=fields.name(session.handle, "session.handle", limit=fields.MAX_TOKEN),
        context_reset=session.context_reset,
    )


def _obligations(kinds: Iterable[str]) -> tuple[str, ...]:
    found = tuple(kinds)
    fields.count(found, "supported_obligations", fields.MAX_OBLIGATIONS)
    return tuple(
        fields.name(kind, f"supported_obligations[{i}]", limit=fields.MAX_WORD, mandatory=True)
        for i, kind in enumerate(found)
    )


def _client_answers(answers: Iterable[decision_pb2.ClientAnswer]) -> tuple[ClientAnswer, ...]:
    found = []
    for i, answer in enumerate(answers):
        path = f"client_answers[{i}]"
        if answer.answer and answer.answer not in CLIENT_ANSWERS.words:
            raise InvalidRequest(f"{path}.answer", "is not a value of this release")
        said = CLIENT_ANSWERS.words.get(answer.answer, "")
        identity = fields.name(answer.requirement_id, f"{path}.requirement_id", mandatory=True)
        found.append(ClientAnswer(identity, said))
    fields.count(found, "client_answers", fields.MAX_CLIENT_ANSWERS)
    return tuple(found)
