"""Codec of decisions: requests about calls and lists, and their answers.

Of a request only presence and shape are looked at; whether what is said is true is for `decide` to find out.
Fields that the contract marks as reserved are left out, which never loosens an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from google.protobuf.duration_pb2 import Duration

from pdp.core.bytes.digest import Json, canonical
from pdp.core.call.methods import TOOL_LIST
from pdp.core.call.request import (
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
from pdp.core.errors import InvalidRequest
from pdp.core.outcome import Effect, Reason
from pdp.core.outcome.answer import OBSERVED, SAFE_MESSAGES, Answer, ListAnswer, OpenRequirement, PolicyRef
from pdp.core.record.stored import RecordRef
from pdp.v1 import decision_pb2, types_pb2
from pdp.wire.grpc.codec import fields
from pdp.wire.grpc.codec.enums import (
    ASSURANCES,
    CLIENT_ANSWERS,
    EFFECTS,
    REQUIREMENT_KINDS,
    REQUIREMENT_STATES,
    RISKS,
)
from pdp.wire.grpc.codec.fields import MAX_TOKEN, MAX_URI, MAX_WORD, data_at, name_at, text_at

_PACKS = "packs."

_CALL = (
    name_at("call_id"),
    name_at("method", MAX_WORD, mandatory=True),
    name_at("protocol_version", MAX_WORD),
    data_at("client_capabilities_json"),
    name_at("resume_token", MAX_TOKEN),
)
_LIST = (
    name_at("server", mandatory=True),
    name_at("method", MAX_WORD),
    name_at("protocol_version", MAX_WORD),
    data_at("client_capabilities_json"),
)
_SESSION = (
    name_at("session.id"),
    text_at("session.task", fields.MAX_TASK),
    name_at("session.parent", MAX_TOKEN),
    name_at("session.task_token", MAX_TOKEN),
    name_at("session.handle", MAX_TOKEN),
)
_CONTEXT = (
    text_at("context.observation", fields.MAX_OBSERVATION),
    data_at("context.extra_json"),
    data_at("context.meta_json"),
    text_at("context.working_folder", fields.MAX_FOLDER),
)
_SERVER_PEER = (
    name_at("server_peer.spiffe_id", MAX_URI),
    name_at("server_peer.spki_digest", MAX_WORD),
    name_at("server_peer.command_digest", MAX_WORD),
)
_TOOL_TARGET = (
    name_at("target.tool.server", mandatory=True),
    name_at("target.tool.name", mandatory=True),
    data_at("target.tool.definition_json"),
    name_at("target.tool.definition_digest", MAX_WORD),
    data_at("target.tool.arguments_json", fields.MAX_ARGUMENTS_BYTES),
)
_RESOURCE = (
    name_at("target.resource.uri", MAX_URI, mandatory=True),
    name_at("target.resource.server", mandatory=True),
    data_at("target.resource.definition_json"),
    data_at("target.resource.arguments_json", fields.MAX_ARGUMENTS_BYTES),
)
_PROMPT = (
    name_at("target.prompt.server", mandatory=True),
    name_at("target.prompt.name", mandatory=True),
    data_at("target.prompt.arguments_json", fields.MAX_ARGUMENTS_BYTES),
    data_at("target.prompt.definition_json"),
)
_GENERIC = (
    name_at("target.generic.type", mandatory=True),
    name_at("target.generic.id", mandatory=True),
    data_at("target.generic.properties_json"),
)


_TARGETS = {"tool": _TOOL_TARGET, "resource": _RESOURCE, "prompt": _PROMPT, "generic": _GENERIC}
_BEARER = text_at("credential.bearer", MAX_TOKEN)
_ASKS = {kind: fields.whole(*_CALL, *_CONTEXT, *bounds, _BEARER, *_SESSION) for kind, bounds in _TARGETS.items()}
_UNTARGETED = fields.whole(*_CALL, *_CONTEXT)
_NO_PEER = ServerPeer()
_ENFORCEMENTS = {OBSERVED: types_pb2.ENFORCEMENT_OBSERVED}  # only the very word frees a caller from an answer


def ask(request: decision_pb2.DecideRequest, until_ns: int = 0) -> Ask:
    """A DecideRequest; `until_ns` is when its caller stops waiting. Raises InvalidRequest naming the field."""
    request_id, kind = fields.request_id(request.request_id), request.target.WhichOneof("kind")
    fields.check(request, _ASKS.get(kind or "", _UNTARGETED))
    context, supported = request.context, request.supported_obligations
    address = context.client_address
    return Ask(
        request_id=request_id,
        call_id=request.call_id,
        method=request.method,
        target=_target(request.target, kind),
        credential=_credential(request.credential),
        session=_session(request.session),
        protocol_version=request.protocol_version,
        client_capabilities=request.client_capabilities_json,
        supported_obligations=(
            fields.words(supported, "supported_obligations", fields.MAX_OBLIGATIONS) if supported else ()
        ),
        client_address=fields.address(address, "context.client_address") if address else "",
        observation=context.observation,
        extra=context.extra_json,
        meta=context.meta_json,
        working_folder=context.working_folder,
        resume_token=request.resume_token,
        client_answers=_client_answers(request.client_answers) if request.client_answers else (),
        server_peer=_server_peer(request.server_peer) if request.HasField("server_peer") else _NO_PEER,
        until_ns=until_ns,
    )


def list_ask(request: decision_pb2.FilterToolsRequest) -> ListAsk:
    """A FilterToolsRequest. Raises InvalidRequest naming the field."""
    request_id = fields.request_id(request.request_id)
    fields.check(request, _LIST)
    fields.count(request.definitions_json, "definitions_json", fields.MAX_DEFINITIONS)
    context = request.context
    fields.check(context, _CONTEXT)
    fields.address(context.client_address, "context.client_address")
    return ListAsk(
        request_id=request_id,
        server=request.server,
        definitions=tuple(
            fields.data(raw, f"definitions_json[{i}]") for i, raw in enumerate(request.definitions_json)
        ),
        credential=credential(request.credential),
        session=session(request.session),
        presented_only=request.presented_only,
        method=request.method or TOOL_LIST,
        asserted=(
            ("client_capabilities_json", request.client_capabilities_json),
            ("context.extra_json", context.extra_json),
            ("context.meta_json", context.meta_json),
        ),
        protocol_version=request.protocol_version,
        server_peer=_server_peer(request.server_peer),
    )


def _target(target: types_pb2.Target, kind: str | None) -> Target:
    """What is asked about, of this kind; its fields are checked."""
    match kind:
        case "tool":
            tool = target.tool
            return ToolTarget(
                server=tool.server,
                name=tool.name,
                definition=tool.definition_json or None,  # empty bytes mean "not given"
                definition_digest=tool.definition_digest,
                arguments=tool.arguments_json or b"{}",
            )
        case "resource":
            resource = target.resource
            return ResourceTarget(
                resource.server, resource.uri, resource.definition_json or None, resource.arguments_json
            )
        case "prompt":
            prompt = target.prompt
            return PromptTarget(prompt.server, prompt.name, prompt.arguments_json, prompt.definition_json or None)
        case "generic":
            return GenericTarget(target.generic.type, target.generic.id, target.generic.properties_json)
        case _:
            raise InvalidRequest("target", "is missing; set exactly one of tool, resource, prompt and generic")


def _server_peer(peer: types_pb2.ServerPeer) -> ServerPeer:
    fields.check(peer, _SERVER_PEER)
    return ServerPeer(spiffe_id=peer.spiffe_id, spki_digest=peer.spki_digest, command_digest=peer.command_digest)


def credential(given: types_pb2.Credential) -> Credential:
    """On whose behalf, or who acts. Nothing set is NoCredential. Raises InvalidRequest naming the field."""
    fields.text(given.bearer, _BEARER.path, MAX_TOKEN)
    return _credential(given)


def _credential(given: types_pb2.Credential) -> Credential:
    """The same of one whose bearer token is not too long."""
    match given.WhichOneof("kind"):
        case "bearer":
            return Bearer(given.bearer) if given.bearer else NoCredential()
        case "claims":
            claims, path = given.claims, "credential.claims"
            return AssertedClaims(
                fields.name(claims.issuer, f"{path}.issuer", limit=fields.MAX_URI, mandatory=True),
                fields.name(claims.subject, f"{path}.subject", mandatory=True),
                fields.data(claims.claims_json, f"{path}.claims_json") or b"{}",
            )
        case _:
            return NoCredential()


def session(given: types_pb2.Session) -> SessionAsk:
    """The session as the caller names it. Raises InvalidRequest."""
    fields.check(given, _SESSION)
    return _session(given)


def _session(given: types_pb2.Session) -> SessionAsk:
    return SessionAsk(
        id=given.id,
        task=given.task,
        task_by_agent=given.task_by_agent,
        parent=given.parent,
        task_token=given.task_token,
        handle=given.handle,
        context_reset=given.context_reset,
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


def response(answer: Answer, record: RecordRef) -> decision_pb2.DecideResponse:
    """The answer to one Decide."""
    found = decision_pb2.DecideResponse(
        decision_id=answer.decision_id,
        effect=EFFECTS.numbers[answer.effect],
        reasons=map(reason, answer.reasons),
        obligations=map(obligation, answer.obligations) if answer.effect is Effect.ALLOW else (),
        risk=RISKS.numbers.get(answer.risk, RISKS.unspecified),
        call_digest=answer.call_digest,
        redemption_id=answer.redemption_id,
        enforcement=_ENFORCEMENTS.get(answer.enforcement, types_pb2.ENFORCEMENT_ENFORCED),
        policy=policy_ref(answer.policy),
        record=record_ref(record),
        safe_message=answer.safe_message,
        session_handle=answer.session_handle,
    )
    if answer.valid_until_ns and (answer.effect is not Effect.DENY or answer.enforcement == OBSERVED):
        found.valid_until.FromNanoseconds(answer.valid_until_ns)
    if answer.effect is Effect.PENDING:
        found.pending.CopyFrom(_pending(answer))
    return found


def filter_response(answer: ListAnswer, record: RecordRef) -> decision_pb2.FilterToolsResponse:
    """The answer to one FilterTools. A list without tools that has a reason was denied as a whole."""
    denied = bool(answer.reasons) and not answer.tools
    effect = Effect.DENY if denied else Effect.ALLOW
    found = decision_pb2.FilterToolsResponse(
        decision_id=answer.decision_id,
        effect=EFFECTS.numbers[effect],
        reasons=map(reason, answer.reasons) if denied else (),
        tools=_views(answer.tools),
        hidden=(
            decision_pb2.HiddenTool(name=h.key.partition(":")[2], reasons=map(reason, h.reasons))
            for h in answer.hidden
        ),
        enforcement=_ENFORCEMENTS.get(answer.enforcement, types_pb2.ENFORCEMENT_ENFORCED),
        policy=policy_ref(answer.policy),
        record=record_ref(record),
        safe_message=SAFE_MESSAGES[effect],
        observed=_views(answer.observed),
    )
    if not denied or answer.enforcement == OBSERVED:
        found.valid_until.CopyFrom(fields.timestamp(answer.valid_until_ns))
    return found


def _views(tools: Iterable[tuple[str, Mapping[str, Json]]]) -> Iterator[decision_pb2.ToolView]:
    """By name."""
    for name, definition in sorted(tools, key=lambda tool: tool[0]):
        yield decision_pb2.ToolView(name=name, definition_json=canonical(definition))


def record_ref(record: RecordRef) -> types_pb2.RecordRef:
    """The reference to a record."""
    return types_pb2.RecordRef(log=record.log, index=record.index, leaf_hash=record.leaf_hash)


def reason(given: Reason) -> types_pb2.Reason:
    """One reason."""
    pack = given.rule.removeprefix(_PACKS).split(".")[0] if given.rule.startswith(_PACKS) else ""
    return types_pb2.Reason(code=given.code, message=given.message, rule=given.rule, control=given.control, pack=pack)


def obligation(given: Mapping[str, Json]) -> types_pb2.Obligation:
    """One obligation; what it says besides are its parameters."""
    parameters = {k: v for k, v in given.items() if k not in ("kind", "code")}
    return types_pb2.Obligation(
        kind=str(given["kind"]), code=str(given["code"]), parameters_json=canonical(parameters)
    )


def _pending(answer: Answer) -> types_pb2.Pending:
    found = types_pb2.Pending(requirements=map(requirement, answer.requirements), resume_token=answer.resume_token)
    if answer.retry_after_ms:
        seconds, ms = divmod(answer.retry_after_ms, 1000)
        found.retry_after.CopyFrom(Duration(seconds=seconds, nanos=ms * 1_000_000))
    return found


def requirement(wanted: OpenRequirement) -> types_pb2.Requirement:
    """One requirement of a pending answer."""
    found = types_pb2.Requirement(
        id=wanted.id,
        kind=REQUIREMENT_KINDS.number(wanted.kind),
        state=REQUIREMENT_STATES.number(wanted.state),
        url=wanted.url,
        short_code=wanted.short_code,
        code=wanted.code,
        control=wanted.control,
        stage=wanted.stage,
        pack=wanted.pack,
        min_assurance=ASSURANCES.number(wanted.min_assurance),
        approval_id=wanted.approval_id,
    )
    if wanted.state == "open":
        found.expires_at.CopyFrom(fields.timestamp(wanted.expires_ns))
    return found


@lru_cache(16)
def policy_ref(policy: PolicyRef) -> types_pb2.PolicyRef | None:
    """Which policy answered; to be copied, never changed."""
    if not policy.digest:
        return None  # answered before policy was chosen
    return types_pb2.PolicyRef(revision=policy.revision, digest=policy.digest, engine=policy.engine)
