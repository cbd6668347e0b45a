"""Codec, outwards: answers about calls and lists, from `core.answer` to `pdp.v1`."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.duration_pb2 import Duration

from pdp.adapters.grpc.codec import fields
from pdp.adapters.grpc.codec.enums import ASSURANCES, EFFECTS, REQUIREMENT_KINDS, REQUIREMENT_STATES, RISKS
from pdp.core.answer import SAFE_MESSAGES, Answer, ListAnswer, OpenRequirement, PolicyRef
from pdp.core.digest import Json, canonical
from pdp.core.outcome import Effect, Reason
from pdp.core.stored import RecordRef
from pdp.v1 import decision_pb2, types_pb2

_PACKS = "packs."
_TOOL = "tool:"


def decide_response(answer: Answer, record: RecordRef) -> decision_pb2.DecideResponse:
    """The answer to one Decide."""
    found = decision_pb2.DecideResponse(
        decision_id=answer.decision_id,
        effect=EFFECTS.numbers[answer.effect],
        reasons=map(reason, answer.reasons),
        obligations=map(_obligation, answer.obligations) if answer.effect is Effect.ALLOW else (),
        risk=RISKS.number(answer.risk),
        call_digest=answer.call_digest,
        redemption_id=answer.redemption_id,
        enforcement=_enforcement(answer.enforcement),
        policy=policy_ref(answer.policy),
        record=record_ref(record),
        safe_message=answer.safe_message,
    )
    if answer.effect is not Effect.DENY and answer.valid_until_ns:
        found.valid_until.CopyFrom(fields.timestamp(answer.valid_until_ns))
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
        tools=(
            decision_pb2.ToolView(name=name, definition_json=canonical(definition))
            for name, definition in sorted(answer.tools, key=lambda tool: tool[0])
        ),
        hidden=(
            decision_pb2.HiddenTool(name=h.key.removeprefix(_TOOL), reasons=map(reason, h.reasons))
            for h in answer.hidden
        ),
        enforcement=types_pb2.ENFORCEMENT_ENFORCED,
        policy=policy_ref(answer.policy),
        record=record_ref(record),
        safe_message=SAFE_MESSAGES[effect],
    )
    if not denied:
        found.valid_until.CopyFrom(fields.timestamp(answer.valid_until_ns))
    return found


def record_ref(record: RecordRef) -> types_pb2.RecordRef:
    """Where a record stands."""
    return types_pb2.RecordRef(log=record.log, index=record.index, leaf_hash=record.leaf_hash)


def reason(given: Reason) -> types_pb2.Reason:
    """One reason."""
    pack = given.rule.removeprefix(_PACKS).split(".")[0] if given.rule.startswith(_PACKS) else ""
    return types_pb2.Reason(code=given.code, message=given.message, rule=given.rule, control=given.control, pack=pack)


def _obligation(obligation: Mapping[str, Json]) -> types_pb2.Obligation:
    parameters = {k: v for k, v in obligation.items() if k not in ("kind", "code")}
    return types_pb2.Obligation(
        kind=str(obligation["kind"]), code=str(obligation["code"]), parameters_json=canonical(parameters)
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


def policy_ref(policy: PolicyRef) -> types_pb2.PolicyRef | None:
    """Which policy answered."""
    if not policy.digest:
        return None  # answered before policy was chosen
    return types_pb2.PolicyRef(revision=policy.revision, digest=policy.digest, engine=policy.engine)


def _enforcement(said: str) -> types_pb2.Enforcement.ValueType:
    # only the very word frees a caller from an answer
    return types_pb2.ENFORCEMENT_OBSERVED if said == "observed" else types_pb2.ENFORCEMENT_ENFORCED
