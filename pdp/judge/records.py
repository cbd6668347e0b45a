"""The record of one verdict, or of why there was none. What the model wrote may quote arguments, so that of it the
record has a commitment only."""

from __future__ import annotations

import json

from pdp.core.approvals.rows import Answered
from pdp.core.bytes.digest import canonical, commitment
from pdp.core.judge.judge_input import Opinion
from pdp.core.record.encoding import Fields, Stamp, cut, encode
from pdp.core.record.stored import ValueRow

_RATIONALE = "rationale"


def judged(stamp: Stamp, answered: Answered, opinion: Opinion, salt: bytes) -> bytes:
    """A judge was asked about one requirement of one call."""
    requirement = json.loads(answered.element)["for"]
    fields: Fields = {
        "call_digest": answered.call_digest,
        "requirement": {"id": str(requirement["id"]), "sha256": answered.requirement_sha256},
        "prompt": cut(str(requirement.get("prompt", ""))),
        "prompt_sha256": opinion.prompt_sha256,
        "model": cut(opinion.model),
        "status": opinion.status,
        "verdict": opinion.verdict,
        "confidence": opinion.confidence,
        "violated": sorted(cut(rule) or "" for rule in opinion.violated),
        "rationale": commitment(salt, _RATIONALE, canonical(opinion.rationale)) if opinion.rationale else None,
        "expires_ns": answered.expires_ns,
        "tokens_in": opinion.tokens_in,
        "tokens_out": opinion.tokens_out,
        "latency_ms": opinion.latency_ms,
        "cached": opinion.cached,
    }
    return encode(stamp, "judge", fields)


def erasable(record_id: str, answered: Answered, opinion: Opinion, salt: bytes) -> tuple[ValueRow, ...]:
    """The erasable value behind the commitment."""
    if not opinion.rationale:
        return ()
    data = canonical(opinion.rationale)
    return (ValueRow(record_id, answered.tenant, answered.subject_index, _RATIONALE, salt, data),)
