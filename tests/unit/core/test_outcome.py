"""Reading an engine's answer: exactly a decision, or a denial."""

import json
from typing import Any

import pytest
from support.for_each import for_each
from support.queries import raw_query

from pdp.core.outcome import Effect, Hidden, Outcome, Reason, conclude, denied, read

REQUIREMENT = {"kind": "approval", "id": "a", "code": "acme.a", "stage": 1, "ttl_seconds": 60, "pack": "acme"}
REASON = {"code": "acme.role", "message": "m", "rule": "packs.acme.allow", "control": ""}
OBLIGATION = {"kind": "redact", "code": "acme.redact", "fields": ["a"]}


def decision(**changes: Any) -> Any:
    whole = {
        "effect": "allow",
        "reasons": [],
        "requirements": [],
        "obligations": [],
        "visible": ["tool:a"],
        "hidden": [],
        "waived": [],
    }
    return {**whole, **changes}


def pending(requirement: Any) -> Any:
    return decision(effect="pending", requirements=[requirement])


def encoded(value: Any) -> Any:
    return json.dumps(value).encode()


def refused(answer: Any) -> Any:
    return read(answer) == denied("policy.not_a_decision", "The policy did not return a decision.")


def test_an_allow() -> None:
    found = read(encoded(decision(reasons=[REASON], obligations=[OBLIGATION], waived=[{"waiver": "w"}])))
    assert found == Outcome(
        Effect.ALLOW,
        (Reason("acme.role", "m", "packs.acme.allow", ""),),
        (),
        (OBLIGATION,),
        frozenset({"tool:a"}),
        (),
        ({"waiver": "w"},),
    )


def test_reasons_stand_in_one_order_whatever_the_engine_gives_them_in() -> None:
    packs = [{**REASON, "code": code, "rule": "packs.acme.deny"} for code in ("acme.b", "acme.a")]
    gate = {**REASON, "code": "switch.tool", "rule": "pdp.gate"}
    asked = raw_query(b"{}", keys=["tool:a"])
    found = conclude(asked, encoded(decision(effect="deny", visible=[], reasons=[*packs, gate])), frozenset())
    assert [reason.code for reason in found.reasons] == ["switch.tool", "acme.a", "acme.b"]


def test_a_pending() -> None:
    found = read(encoded(pending(REQUIREMENT)))
    assert found.effect is Effect.PENDING
    assert found.requirements == (REQUIREMENT,)


def test_a_denial_with_hidden_targets() -> None:
    hidden = [{"key": "tool:b", "reasons": [REASON]}]
    found = read(encoded(decision(effect="deny", visible=[], hidden=hidden)))
    assert found.effect is Effect.DENY
    assert found.hidden == (Hidden("tool:b", (Reason("acme.role", "m", "packs.acme.allow", ""),)),)


def test_a_denial_carries_no_obligations() -> None:
    assert read(encoded(decision(effect="deny", obligations=[OBLIGATION]))).obligations == ()
    found = read(encoded({**pending(REQUIREMENT), "obligations": [OBLIGATION]}))
    assert found.effect is Effect.PENDING
    assert found.obligations == ()


@for_each("key", sorted(decision()))
def test_every_key_is_needed(key: Any) -> None:
    whole = decision(effect="deny")
    del whole[key]
    assert refused(encoded(whole))


def test_no_other_key_is_accepted() -> None:
    assert refused(encoded(decision(note="x")))
    assert refused(encoded(decision(Effect="allow")))


@for_each("effect", ["Allow", "ALLOW", "allow ", "permit", "", "unspecified", None, True, 1, ["allow"], {}])
def test_there_is_no_fourth_effect(effect: Any) -> None:
    assert refused(encoded(decision(effect=effect)))


@for_each("key", ["reasons", "requirements", "obligations", "visible", "hidden", "waived"])
@for_each("value", [None, {}, "tool:a", 1, True])
def test_sets_are_lists(key: Any, value: Any) -> None:
    assert refused(encoded(decision(effect="deny", **{key: value})))


@for_each("key", ["reasons", "requirements", "obligations", "visible", "hidden", "waived"])
@for_each("value", [None, [], 1, True])
def test_and_of_the_right_things(key: Any, value: Any) -> None:
    assert refused(encoded(decision(effect="deny", **{key: [value]})))


def test_pending_needs_requirements() -> None:
    assert refused(encoded(decision(effect="pending")))


@for_each("effect", ["allow", "deny"])
def test_only_pending_has_requirements(effect: Any) -> None:
    assert refused(encoded(decision(effect=effect, requirements=[REQUIREMENT])))


def test_an_allow_grants_something() -> None:
    assert refused(encoded(decision(visible=[])))


@for_each("stage", [0, -1, True, False, 1.5, 1.0, "1", None, [1], 2**63])
def test_a_stage_is_a_positive_integer(stage: Any) -> None:
    assert refused(encoded(pending({**REQUIREMENT, "stage": stage})))


@for_each("ttl", [0, -1, True, 1.5, "60", None])
def test_a_time_to_live_is_a_positive_integer(ttl: Any) -> None:
    assert refused(encoded(pending({**REQUIREMENT, "ttl_seconds": ttl})))


@for_each("kind", ["vote", "Approval", "", None, 1, [], {}])
def test_there_is_no_fifth_kind_of_requirement(kind: Any) -> None:
    assert refused(encoded(pending({**REQUIREMENT, "kind": kind})))


@for_each("key", sorted(REQUIREMENT.keys() - {"pack"}))
def test_what_a_requirement_needs(key: Any) -> None:
    assert refused(encoded(pending({k: v for k, v in REQUIREMENT.items() if k != key})))


@pytest.mark.parametrize("key", ["id", "code"])
@pytest.mark.parametrize("value", ["", None, 1])
def test_a_requirement_has_a_name_and_a_code(key: Any, value: Any) -> None:
    assert refused(encoded(pending({**REQUIREMENT, key: value})))


@pytest.mark.parametrize("key", ["kind", "code"])
@pytest.mark.parametrize("value", ["", None, 1])
def test_an_obligation_has_a_kind_and_a_code(key: Any, value: Any) -> None:
    assert refused(encoded(decision(obligations=[{**OBLIGATION, key: value}])))


@for_each("key", sorted(REASON))
def test_a_reason_has_four_texts(key: Any) -> None:
    assert refused(encoded(decision(reasons=[{k: v for k, v in REASON.items() if k != key}])))
    assert refused(encoded(decision(reasons=[{**REASON, key: 1}])))


@for_each("hidden", [{}, {"key": "tool:b"}, {"key": 1, "reasons": []}, {"key": "tool:b", "reasons": [1]}])
def test_a_hidden_target_has_a_key_and_reasons(hidden: Any) -> None:
    assert refused(encoded(decision(effect="deny", hidden=[hidden])))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"true",
        b'"allow"',
        b"[]",
        b"{}",
        b'"<undefined>"',
        b"{",
        b"\xff",
        pytest.param(b"[" * 100_000, id="deep"),
        encoded(decision()) + b"x",
        encoded([decision()]),
        b"\xef\xbb\xbf" + encoded(decision()),
        encoded(decision()).decode().encode("utf-16"),
    ],
)
def test_what_is_no_object_is_no_decision(answer: Any) -> None:
    assert refused(answer)


def test_a_key_that_stands_twice() -> None:
    once = encoded(decision(effect="deny"))
    assert not refused(once)
    assert refused(once[:-1] + b', "effect": "allow"}')
    assert refused(encoded(pending(REQUIREMENT)).replace(b'"stage": 1', b'"stage": 2, "stage": 1'))


@for_each("value", ["NaN", "Infinity", "-Infinity", "1e999", "1e19", "1e300", "9223372036854775808", '"\\ud800"'])
def test_what_no_record_could_hold(value: Any) -> None:
    text = json.dumps(decision(obligations=[{**OBLIGATION, "x": "@"}])).replace('"@"', value)
    assert refused(text.encode())


def test_a_character_beyond_the_first_plane_may_come_as_an_escape() -> None:
    found = read(encoded(decision(reasons=[{**REASON, "message": "\U0001f600"}])))
    assert found.reasons[0].message == "\U0001f600"


def test_denied_is_a_denial_by_the_service_and_grants_nothing() -> None:
    found = denied("person.inactive", "m")
    assert found == Outcome(Effect.DENY, (Reason("person.inactive", "m", "service", "MB-1.1"),))
    assert (found.visible, found.requirements, found.obligations) == (frozenset(), (), ())


def test_what_the_gate_denies_serves_a_control_and_a_pack_names_its_own() -> None:
    gates = {**REASON, "code": "policy.not_granted", "rule": "pdp.gate"}
    found = read(encoded(decision(reasons=[gates, REASON, {**REASON, "control": "C-1"}])))
    assert [reason.control for reason in found.reasons] == ["MCP07", "", "C-1"]
