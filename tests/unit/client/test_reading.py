"""What counts as an allow, and all that does not."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.client import responses
from pdp.core.caller.values import Obligation, Reason
from pdp.v1 import decision_pb2 as d
from pdp.v1 import types_pb2 as t

NOW = 1_800_000_000.0
RECORD = t.RecordRef(log="l", index=1, leaf_hash=b"h" * 32)
WHY = [t.Reason(code="acme.no", message="No.", rule="packs.acme.deny", control="MB-1", pack="acme")]


def allow(**changes: Any) -> Any:
    response = d.DecideResponse(decision_id="d-1", effect=t.EFFECT_ALLOW, record=RECORD, risk=t.RISK_LOW)
    response.valid_until.FromSeconds(int(NOW) + 30)
    for name, value in changes.items():
        response.ClearField(name)
        response.MergeFrom(d.DecideResponse(**{name: value}))
    return response


def read(response: Any, supported: Any = ("log",), now: Any = NOW) -> Any:
    return responses.decision(response, "r-1", frozenset(supported), now)


def test_an_allow() -> None:
    obliged = [t.Obligation(kind="log", code="c", parameters_json=b"{}")]
    more = {"call_digest": "sha256:c", "redemption_id": "red", "session_handle": "s1.x"}
    found = read(allow(obligations=obliged, policy=t.PolicyRef(revision="7", digest="d" * 64), **more))
    assert found.allowed
    assert (found.effect, found.code, found.safe_message) == ("allow", "", "")
    assert found.obligations == (Obligation("log", "c", b"{}"),)
    assert (found.decision_id, found.request_id, found.risk) == ("d-1", "r-1", "low")
    assert (found.call_digest, found.redemption_id, found.record.index) == ("sha256:c", "red", 1)
    assert (found.session_handle, found.policy_revision, found.policy_digest) == ("s1.x", "7", "d" * 64)
    assert found.valid_until == NOW + 30
    assert found.holds(NOW + 29)
    assert not found.holds(NOW + 30)


BAD = {
    "client.effect": [allow(effect=0), allow(effect=99)],
    "client.enforcement": [allow(enforcement=99)],
    "client.expired": [allow(valid_until=t.google_dot_protobuf_dot_timestamp__pb2.Timestamp(seconds=int(NOW)))],
    "client.obligation": [allow(obligations=[t.Obligation(kind="log"), t.Obligation(kind="notify")])],
    "client.malformed": [
        allow(decision_id=""),
        allow(record=None),
        allow(valid_until=None),
        allow(pending=t.Pending()),
        d.DecideResponse(effect=t.EFFECT_PENDING),
        d.DecideResponse(effect=t.EFFECT_DENY),
    ],
}


@for_each(("code", "response"), [(c, r) for c, many in BAD.items() for r in many])
def test_a_doubt_is_a_denial_that_says_why(code: Any, response: Any) -> None:
    found = read(response)
    assert not found.allowed
    assert (found.effect, found.code) == ("deny", code)
    assert not found.obligations
    assert found.safe_message
    assert not found.holds(0.0)


def test_a_denial_keeps_its_reasons() -> None:
    found = read(d.DecideResponse(effect=t.EFFECT_DENY, reasons=WHY, safe_message="Not now."))
    assert (found.allowed, found.effect, found.safe_message) == (False, "deny", "Not now.")
    assert found.reasons == (Reason("acme.no", "No.", "packs.acme.deny", "MB-1", "acme"),)


@for_each("effect", [t.EFFECT_DENY, t.EFFECT_ALLOW])
def test_an_observed_answer_is_read_as_enforced(effect: Any) -> None:
    found = read(allow(effect=effect, enforcement=t.ENFORCEMENT_OBSERVED, reasons=WHY))
    assert found.allowed is (effect == t.EFFECT_ALLOW)


def test_a_pending_answer() -> None:
    wanted = t.Requirement(id="q", kind=t.REQUIREMENT_KIND_APPROVAL, code="c", url="u", short_code="AB")
    wanted.expires_at.FromSeconds(7)
    pending = t.Pending(requirements=[wanted, t.Requirement(id="x", kind=99)], resume_token="rt")
    pending.retry_after.FromMilliseconds(2500)
    found = read(d.DecideResponse(decision_id="d", effect=t.EFFECT_PENDING, pending=pending))
    assert (found.allowed, found.effect) == (False, "pending")
    assert (found.pending.resume_token, found.pending.retry_after) == ("rt", 2.5)
    first, second = found.pending.requirements
    assert (first.kind, first.expires_at, second.kind, second.expires_at) == ("approval", 7.0, "unknown", None)


def test_a_risk_that_is_not_said_is_the_worst() -> None:
    assert read(allow(risk=0)).risk == read(allow(risk=99)).risk == "critical"


@given(
    effect=st.integers(0, 5),
    enforcement=st.integers(0, 4),
    seconds=st.one_of(st.none(), st.integers(int(NOW) - 3, int(NOW) + 3)),
    kinds=st.lists(st.sampled_from(["log", "notify", ""]), max_size=2),
    ids=st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_an_allow_is_never_born_here(effect: Any, enforcement: Any, seconds: Any, kinds: Any, ids: Any) -> None:
    has_id, has_record, has_pending = ids
    response = d.DecideResponse(
        effect=effect, enforcement=enforcement, decision_id="d" if has_id else "",
        record=RECORD if has_record else None, pending=t.Pending() if has_pending else None,
        obligations=[t.Obligation(kind=k) for k in kinds],
    )  # fmt: skip
    if seconds is not None:
        response.valid_until.FromSeconds(seconds)
    found = read(response)
    fit = (
        effect == t.EFFECT_ALLOW
        and enforcement in (0, 1, 2)
        and seconds is not None
        and seconds > NOW
        and set(kinds) <= {"log"}
        and ids == (True, True, False)
    )
    assert found.allowed is fit
    assert (found.effect == "allow") is fit


def listed(**changes: Any) -> Any:
    response = d.FilterToolsResponse(
        decision_id="d", effect=t.EFFECT_ALLOW, record=RECORD, tools=[d.ToolView(name="a", definition_json=b"{}")]
    )
    response.valid_until.FromSeconds(int(NOW) + 60)
    for name, value in changes.items():
        response.ClearField(name)
        response.MergeFrom(d.FilterToolsResponse(**{name: value}))
    return response


def test_a_list() -> None:
    hidden = [d.HiddenTool(name="b", reasons=WHY)]
    found = responses.tool_list(listed(hidden=hidden), "r", NOW)
    assert found.allowed
    assert [(tool.name, tool.definition) for tool in found.tools] == [("a", b"{}")]
    assert found.hidden[0][0] == "b"
    assert (found.hidden[0][1][0].code, found.valid_until, found.safe_message) == ("acme.no", NOW + 60, "")


@for_each(
    "response",
    [
        listed(effect=t.EFFECT_DENY, reasons=WHY),
        listed(effect=t.EFFECT_PENDING),
        listed(effect=0),
        listed(effect=99),
        listed(enforcement=99),
        listed(valid_until=None),
        listed(record=None),
        listed(decision_id=""),
        listed(valid_until=t.google_dot_protobuf_dot_timestamp__pb2.Timestamp(seconds=int(NOW))),
    ],
)
def test_a_list_in_doubt_is_empty(response: Any) -> None:
    found = responses.tool_list(response, "r", NOW)
    assert (found.allowed, found.tools) == (False, ())
    assert found.code
    assert found.safe_message
