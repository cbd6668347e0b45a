"""The answer to a caller, as a value. The reply that is kept for repeats is made of it too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from pdp.core.approvals.call import SourcedEvidence
from pdp.core.bytes.digest import Json, digest, text_encoder
from pdp.core.call.facts import Facts, TargetFact
from pdp.core.check import NS
from pdp.core.frozen import frozen
from pdp.core.outcome import END_SESSION, EXCHANGE, Effect, Hidden, Outcome, Reason
from pdp.core.outcome.codes import shown_control

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:token-exchange"  # RFC 8693, section 2.1
# Fit for a model. Denied, hidden and unknown tools read the same, so that nothing can be probed by asking. Where
# nothing but the arguments' shape stands against a call, its tool is one that the subject may list with its schema.
_SHAPE = frozenset({"arguments.schema", "arguments.undeclared"})
SAFE_MESSAGES: Mapping[Effect, str] = {
    Effect.ALLOW: "",
    Effect.DENY: "This call is not available.",
    Effect.PENDING: "This call waits for a confirmation or approval. Ask again later with the same arguments.",
}


@frozen
class PolicyRef:
    """Which policy answered."""

    revision: str
    digest: str
    engine: str


ENFORCED, OBSERVED = "enforced", "observed"


@frozen
class OpenRequirement:
    """One requirement that is still wanted. `id` names it for this call; `expires_ns` is Unix ns."""

    id: str
    kind: str
    code: str
    control: str
    stage: int
    expires_ns: int
    state: str = "open"
    url: str = ""
    short_code: str = ""
    approval_id: str = ""
    pack: str = ""
    min_assurance: str = ""


@frozen
class Answer:
    """The answer to one Decide."""

    decision_id: str
    effect: Effect
    reasons: tuple[Reason, ...]
    obligations: tuple[Mapping[str, Json], ...]
    risk: str
    valid_until_ns: int  # 0 for a denial
    call_digest: str
    policy: PolicyRef
    requirements: tuple[OpenRequirement, ...] = ()
    retry_after_ms: int = 0
    enforcement: str = "enforced"  # or OBSERVED: the caller may proceed whatever the effect
    redemption_id: str = ""
    resume_token: str = ""
    session_handle: str = ""
    hint: str = ""  # of the failed check of its arguments

    @property
    def permits(self) -> bool:
        """Whether the caller may carry the call out."""
        return self.effect is Effect.ALLOW or self.enforcement != "enforced"

    @property
    def safe_message(self) -> str:
        if self.hint and self.effect is Effect.DENY and _SHAPE.issuperset(reason.code for reason in self.reasons):
            return self.hint
        return SAFE_MESSAGES[self.effect]

    def to_bytes(self) -> bytes:
        """The encoding in the reply store."""
        return _encode(self).encode()

    @staticmethod
    def from_bytes(data: bytes) -> Answer | None:
        """The inverse of `to_bytes`; None for what another release kept in another shape."""
        fields: dict[str, Any] = json.loads(data)
        try:
            return Answer(
                **{
                    **fields,
                    "effect": Effect(fields["effect"]),
                    "reasons": tuple(Reason(**r) for r in fields["reasons"]),
                    "obligations": tuple(fields["obligations"]),
                    "policy": PolicyRef(*fields["policy"]),
                    "requirements": tuple(OpenRequirement(**r) for r in fields["requirements"]),
                }
            )
        except (KeyError, TypeError, ValueError):
            return None


def _encodable(value: Answer | ResultAnswer | PutLabel | Reason | OpenRequirement | PolicyRef) -> Json:
    if isinstance(value, PolicyRef):
        return [value.revision, value.digest, value.engine]
    names = value.__dataclass_fields__
    return dict(zip(names, map(partial(getattr, value), names), strict=True))


_encode = text_encoder(json.JSONEncoder(check_circular=False, separators=(",", ":"), default=_encodable))


@frozen
class Terms:
    """Validity periods of answers."""

    allow_seconds: int = 10  # short, so that a kill switch or a new policy takes effect
    list_seconds: int = 60
    retry_after_ms: int = 5_000


def answer_of(  # noqa: PLR0913, PLR0917 - what an answer is made of
    decision_id: str,
    facts: Facts,
    outcome: Outcome,
    evidence: tuple[SourcedEvidence, ...],
    policy: PolicyRef,
    terms: Terms,
    at_ns: int,
) -> Answer:
    """The answer that an outcome comes to, before anything is opened or redeemed."""
    requirements, obligations, target = outcome.requirements, outcome.obligations, facts.targets[0]
    wanted = tuple([open_requirement(r, facts.call_digest, at_ns) for r in requirements]) if requirements else ()
    ours = obligations and tuple([completed(each, target) for each in obligations if each["kind"] != END_SESSION])
    return Answer(
        decision_id=decision_id,
        effect=outcome.effect,
        reasons=outcome.reasons,
        obligations=ours,
        risk=target.risk,
        valid_until_ns=_valid_until(facts, outcome, evidence, at_ns + terms.allow_seconds * NS),
        call_digest=facts.call_digest,
        policy=policy,
        requirements=wanted,
        retry_after_ms=terms.retry_after_ms if wanted else 0,
        session_handle=facts.session.handle,
        hint=facts.arguments.check.hint,
    )


def completed(obligation: Mapping[str, Json], target: TargetFact) -> Mapping[str, Json]:
    """An obligation as the caller carries it out: to exchange a token (RFC 8693), with the audience and scopes that
    the signed manifest names. Policy writes neither (`conclude`), and no token is ever part of it."""
    if obligation["kind"] != EXCHANGE:
        return obligation
    return {**obligation, "grant_type": GRANT_TYPE, **target.downstream.fact()}


def _valid_until(
    facts: Facts,
    outcome: Outcome,
    evidence: tuple[SourcedEvidence, ...],
    until_ns: int,
) -> int:
    """An allow holds for a short while, and never longer than the token or the evidence behind it. How long a pending
    answer holds is known when its requests are opened."""
    if outcome.effect is not Effect.ALLOW:
        return 0
    # vouched claims may have no end of their own; a token always has
    until_ns = min(until_ns, facts.identity.subject.expires_ns or until_ns)
    return within(evidence, until_ns) if evidence else until_ns


def within(evidence: tuple[SourcedEvidence, ...], until_ns: int) -> int:
    """An instant, or that at which the first of this evidence has expired."""
    for held in evidence:
        expires_ns = held.element["expires_ns"]
        if isinstance(expires_ns, int):
            until_ns = min(until_ns, expires_ns)
    return until_ns


@frozen
class ListAnswer:
    """The answer to one FilterTools. `tools` are definitions fit for a model; `hidden` is for logs only."""

    decision_id: str
    tools: tuple[tuple[str, Mapping[str, Json]], ...]  # (name, definition)
    hidden: tuple[Hidden, ...]
    reasons: tuple[Reason, ...]
    valid_until_ns: int
    policy: PolicyRef
    enforcement: str = "enforced"
    observed: tuple[tuple[str, Mapping[str, Json]], ...] = ()  # what policy alone hides, where it does not bind

    @property
    def effect(self) -> Effect:
        """A list without tools that has a reason was denied as a whole."""
        return Effect.DENY if self.reasons and not self.tools else Effect.ALLOW


RESULT_WITHHELD = "The result of this call is withheld."


@frozen
class PutLabel:
    """A label that a result puts on its session, and which rule of which pack says so; "" for the service."""

    label: str
    code: str
    pack: str = ""


@frozen
class ResultAnswer:
    """The answer about one result. Obligations name places in the result: `pdp.core.record.inspection`."""

    decision_id: str
    effect: Effect  # never pending
    reasons: tuple[Reason, ...]
    obligations: tuple[Mapping[str, Json], ...]
    labels: tuple[PutLabel, ...]
    policy: PolicyRef
    session_handle: str = ""

    @property
    def safe_message(self) -> str:
        return "" if self.effect is Effect.ALLOW else RESULT_WITHHELD

    def to_bytes(self) -> bytes:
        """The encoding in the reply store."""
        return _encode(self).encode()

    @staticmethod
    def from_bytes(data: bytes) -> ResultAnswer:
        """The inverse of `to_bytes`."""
        kept: dict[str, Any] = json.loads(data)
        return ResultAnswer(
            kept["decision_id"],
            Effect(kept["effect"]),
            tuple(Reason(**each) for each in kept["reasons"]),
            tuple(kept["obligations"]),
            tuple(PutLabel(**each) for each in kept["labels"]),
            PolicyRef(*kept["policy"]),
            kept.get("session_handle", ""),  # an older release kept none
        )


def open_requirement(element: Mapping[str, Any], call_digest: str, at_ns: int) -> OpenRequirement:
    """Show one element of an opened stage. Its id is a digest of the whole element and the call, so the same
    requirement of the same call has the same id, and a changed quorum has another."""
    return OpenRequirement(
        id=digest([call_digest, element])[:32],
        kind=str(element["kind"]),
        code=str(element["code"]),
        control=shown_control(element.get("control")),
        stage=int(element["stage"]),
        expires_ns=at_ns + int(element["ttl_seconds"]) * 1_000_000_000,
        pack=str(element.get("pack", "")),
        min_assurance=str(element.get("min_assurance", "")),
    )
