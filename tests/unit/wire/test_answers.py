"""Codec, outwards."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.errors import InvalidRequest
from pdp.core.outcome import Effect, Hidden, Reason
from pdp.core.outcome.answer import Answer, ListAnswer, OpenRequirement, PolicyRef
from pdp.core.rows.log import RecordRef
from pdp.v1 import types_pb2 as t
from pdp.wire.grpc.codec import decisions, fields

AT = 1_800_000_000_123_456_789
REF = RecordRef("log.example", 7, b"h" * 32)
POLICY = PolicyRef("r1", "sha256:p", "embedded")


def answer(effect: Any = Effect.ALLOW, **changes: Any) -> Any:
    reasons = () if effect is Effect.ALLOW else (Reason("a.code", "m", "packs.finance.deny", "MB-1"),)
    given_ = {"obligations": (), "risk": "low", "valid_until_ns": AT, "call_digest": "sha256:c", "policy": POLICY}
    return Answer("id-1", effect, reasons, **(given_ | changes))


def test_an_allow() -> None:
    obliged = {"kind": "redact_result", "code": "r.c", "paths": ["/x"], "n": 2**60}
    found = decisions.response(answer(obligations=(obliged,), redemption_id="red"), REF)
    assert (found.decision_id, found.effect, found.risk) == ("id-1", t.EFFECT_ALLOW, t.RISK_LOW)
    assert (found.valid_until.seconds, found.valid_until.nanos) == divmod(AT, 10**9)
    assert (found.record.log, found.record.index, found.record.leaf_hash) == ("log.example", 7, b"h" * 32)
    assert (found.policy.revision, found.policy.digest, found.policy.engine) == ("r1", "sha256:p", "embedded")
    assert (found.call_digest, found.redemption_id, found.safe_message) == ("sha256:c", "red", "")
    assert found.enforcement == t.ENFORCEMENT_ENFORCED
    assert not found.HasField("pending")
    (obligation,) = found.obligations
    assert (obligation.kind, obligation.code) == ("redact_result", "r.c")
    assert json.loads(obligation.parameters_json) == {"paths": ["/x"], "n": 2**60}


def test_a_denial_says_why_and_grants_nothing() -> None:
    found = decisions.response(
        answer(Effect.DENY, obligations=({"kind": "log", "code": "x"},), valid_until_ns=AT), REF
    )
    assert found.effect == t.EFFECT_DENY
    assert not found.HasField("valid_until")
    assert not found.obligations
    assert found.safe_message == "This call is not available."
    (reason,) = found.reasons
    assert (reason.code, reason.rule, reason.control, reason.pack) == (
        "a.code",
        "packs.finance.deny",
        "MB-1",
        "finance",
    )


def test_a_pending_answer() -> None:
    wanted = OpenRequirement("q1", "approval", "c", "MB-2", 2, AT, url="https://x", short_code="AB12")
    found = decisions.response(
        answer(Effect.PENDING, requirements=(wanted,), retry_after_ms=5_250, resume_token="rt"), REF
    )
    assert found.effect == t.EFFECT_PENDING
    assert (found.pending.retry_after.seconds, found.pending.retry_after.nanos) == (5, 250_000_000)
    assert found.pending.resume_token == "rt"
    (requirement,) = found.pending.requirements
    assert (requirement.id, requirement.kind, requirement.state) == (
        "q1",
        t.REQUIREMENT_KIND_APPROVAL,
        t.REQUIREMENT_STATE_OPEN,
    )
    assert (requirement.stage, requirement.url, requirement.short_code) == (2, "https://x", "AB12")
    assert fields.instant_ns(requirement.expires_at, "x") == AT


@for_each("effect", Effect)
def test_each_effect_has_its_number(effect: Any) -> None:
    assert t.Effect.Name(decisions.response(answer(effect), REF).effect) == f"EFFECT_{effect.upper()}"


def test_only_the_very_word_frees_a_caller() -> None:
    for word, number in (("observed", t.ENFORCEMENT_OBSERVED), ("", 1), ("Observed", 1), ("off", 1)):
        assert decisions.response(answer(enforcement=word), REF).enforcement == number


def test_a_risk_that_is_no_risk_is_not_said() -> None:
    assert decisions.response(answer(risk="unknown"), REF).risk == t.RISK_UNSPECIFIED


def listed(tools: Any = (), reasons: Any = (), hidden: Any = ()) -> Any:
    return ListAnswer("id-2", tools, hidden, reasons, AT, POLICY)


def test_a_list_is_ordered_and_keeps_its_hidden_tools_apart() -> None:
    hidden = (Hidden("tool:git_reset", (Reason("x.y"),)),)
    tools = (("b", {"name": "b"}), ("a", {"name": "a", "title": "ä"}))
    found = decisions.filter_response(listed(tools, (), hidden), REF)
    assert found.effect == t.EFFECT_ALLOW
    assert [(v.name, v.definition_json) for v in found.tools] == [
        ("a", '{"name":"a","title":"ä"}'.encode()),
        ("b", b'{"name":"b"}'),
    ]
    assert [(h.name, h.reasons[0].code) for h in found.hidden] == [("git_reset", "x.y")]
    assert fields.instant_ns(found.valid_until, "x") == AT
    assert found.safe_message == ""


def test_a_list_that_was_denied() -> None:
    found = decisions.filter_response(listed(reasons=(Reason("subject.expired"),)), REF)
    assert (found.effect, [r.code for r in found.reasons]) == (t.EFFECT_DENY, ["subject.expired"])
    assert not found.HasField("valid_until")
    assert found.safe_message


@given(st.integers(0, 2**63 - 1))
def test_instants_keep_their_nanoseconds(at_ns: Any) -> None:
    assert fields.instant_ns(fields.timestamp(at_ns), "x") == at_ns


@given(st.integers(2**63, 253_402_300_799 * 10**9))
def test_what_64_bits_cannot_name_is_as_late_as_they_can(at_ns: Any) -> None:
    """No store, and no record, has a number for it."""
    assert fields.instant_ns(fields.timestamp(at_ns), "x") == 2**63 - 1


@for_each(("seconds", "nanos"), [(-1, 0), (0, -1), (0, 10**9), (253_402_300_800, 0)])
def test_instants_out_of_range_are_refused(seconds: Any, nanos: Any) -> None:
    with pytest.raises(InvalidRequest, match=r"^switch.until: "):
        fields.instant_ns(fields.Timestamp(seconds=seconds, nanos=nanos), "switch.until")
