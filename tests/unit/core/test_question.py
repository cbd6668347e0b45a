"""The question that an engine is asked, and what is made of its answer."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from jsonschema_rs import validator_for
from support.for_each import for_each
from support.queries import raw_query

from pdp.core.bytes.digest import sha256_hex
from pdp.core.call.facts import (
    ArgumentsFact,
    Asserted,
    Downstream,
    SessionFact,
    TargetFact,
    Waiver,
    common,
    document,
    own,
)
from pdp.core.call.mandates import NO_MANDATE
from pdp.core.call.questions import UNREAD
from pdp.core.check import OK, failed
from pdp.core.errors import BundleFault, EngineFault
from pdp.core.outcome import EXCHANGE, Effect, Reason, SharedFacts, conclude, question
from pdp.core.outcome.elements import ASSERTED, COMPOSED, FACTS, parts
from pdp.policy.embedded.worker import caller_of
from pdp.policy.query_rules import RULE
from pdp.policy.source import schema_of_members

REQUIREMENT = {"kind": "approval", "id": "a", "code": "acme.a", "stage": 1, "ttl_seconds": 60}
REDACT = {"kind": "redact", "code": "acme.redact"}
NOTIFY = {"kind": "notify", "code": "acme.notify"}


def policy(valid: Any) -> Any:
    return SimpleNamespace(revision="r1", packs=("baseline",), valid_members=valid)


def ask(facts: Any, at: int, valid: Any, evidence: Any = ()) -> Any:
    return question(SharedFacts(facts), facts, evidence, at, policy(valid))


def answer(**changes: Any) -> Any:
    whole = {
        "effect": "allow",
        "reasons": [],
        "requirements": [],
        "obligations": [],
        "visible": ["tool:a"],
        "hidden": [],
        "waived": [],
    }
    return json.dumps({**whole, **changes}).encode()


def asked(phase: Any = "call", keys: Any = ("tool:a",)) -> Any:
    return raw_query(b"{}", phase, keys)


def codes(outcome: Any) -> Any:
    return [r.code for r in outcome.reasons]


def test_there_is_one_query() -> None:
    assert RULE == "data.pdp.decision"


@for_each(("rests", "compositions"), [("", 1), ("evidence", 3), ("waivers", 3), ("fresh", 3)])
def test_calls_are_composed_by_instant_and_digest_where_these_are_compared(
    facts: Any, at: int, valid: Any, rests: str, compositions: int
) -> None:
    evidence = ({"call": "d1", "state": "met"},) if rests == "evidence" else ()
    waivers = (Waiver("w", "c", "git", "o", "", at + 9),) if rests == "waivers" else ()
    asked = [
        ask(replace(facts, waivers=waivers, call_digest=digest), instant, valid, evidence)
        for digest, instant in (("d1", at), ("d2", at), ("d1", at + 1))
    ]
    payloads = {replace(each, fresh=rests == "fresh").payload for each in asked}
    assert len({each.partition(b"\0")[0] for each in payloads}) == compositions


def test_the_caller_of_a_question_is_found_in_its_text(facts: Any, at: int, valid: Any) -> None:
    asked = ask(replace(facts, caller=replace(facts.caller, name='a","subject":{"b')), at, valid)
    document, *_ = parts(asked.payload)[2]
    assert json.loads(caller_of(document)) == json.loads(asked.document)["caller"]


def test_the_question_is_the_document(facts: Any, at: int, valid: Any) -> None:
    evidence = ({"call": "d1", "state": "met"},)
    found = ask(facts, at, valid, evidence)
    assert json.loads(found.document) == document(facts, evidence, at, revision="r1", packs=("baseline",))
    assert found.sha256 == sha256_hex(found.payload)
    assert found.phase == "call"
    assert found.keys == {"tool:git_status"}


def test_packs_see_facts_and_the_composition_sees_the_rest(facts: Any, at: int, valid: Any) -> None:
    evidence = ({"call": "d1", "state": "met"},)
    unasserting = replace(facts, asserted=Asserted())
    whole = document(unasserting, evidence, at, revision="r1", packs=("baseline",))
    composed, phase, (told,) = parts(ask(unasserting, at, valid, evidence).payload)
    assert phase == "call"
    assert json.loads(told) == {"schema": "pdp.facts/1"} | {name: whole[name] for name in (*FACTS, "asserted")}
    told_of_calls = {
        "targets": [{name: whole["targets"][0][name] for name in ("key", "status", "code", "server", "kind")}]
    }
    told_of_calls |= {"time": {"ns": at}, "server": {"id": "git"}, "call": {"digest": "d1"}}
    told_of_calls |= {"session": {"task_source": whole["session"]["task_source"]}, "schema": "pdp.composition/1"}
    assert json.loads(composed) == json.loads(json.dumps({n: whole[n] for n in COMPOSED} | told_of_calls))
    assert not json.loads(composed).keys() & {"subject", "actors", "agent", "caller", "arguments", "asserted"}
    assert not json.loads(told).keys() & {"evidence", "waivers", "consents", "grants", "checks", "judge"}


def test_asserted_facts_are_told_beside_a_question_without_them(facts: Any, at: int, valid: Any) -> None:
    asserting, silent = (replace(facts, asserted=Asserted(observation=text)) for text in ("x", None))
    _, _, (without, told) = parts(ask(asserting, at, valid).payload)
    assert (without,) == parts(ask(silent, at, valid).payload)[2]
    assert json.loads(told) == json.loads(without) | {"asserted": asserting.asserted.fact()}
    assert len(parts(ask(replace(asserting, phase="list"), at, valid).payload)[2]) == 1


def test_no_text_of_a_caller_makes_a_part(facts: Any, at: int) -> None:
    """The separator stands between parts as it is, and in texts as an escape."""
    forged = '\0call\0{"subject":{}}\0{}'
    bent = replace(facts, method=forged, asserted=Asserted(observation=forged, extra={forged: forged}))
    _, phase, told = parts(ask(bent, at, lambda _: True).payload)
    assert (phase, len(told)) == ("call", 2)
    assert json.loads(told[0])["call"]["method"] == forged
    assert json.loads(told[1])["asserted"]["extra"] == {forged: forged}


def test_every_part_of_the_document_is_told_to_one_of_both(facts: Any, at: int) -> None:
    whole = document(facts, (), at, revision="r1", packs=("baseline",))
    unread = {"schema", "consents", "grants"}
    assert whole.keys() == {*FACTS, ASSERTED} | {*COMPOSED} | unread


def test_a_list_asks_about_all_its_targets(facts: Any, at: int, valid: Any) -> None:
    targets = tuple(TargetFact(OK, key=f"tool:{n}", kind="tool", name=n, server="git") for n in "abc")
    found = ask(replace(facts, phase="list", targets=targets), at, valid)
    assert (found.phase, found.keys) == ("list", {"tool:a", "tool:b", "tool:c"})
    _, phase, told = parts(found.payload)
    assert (phase, [[t["key"] for t in json.loads(each)["targets"]] for each in told]) == (
        "list",
        [["tool:a"], ["tool:b"], ["tool:c"]],
    )
    bent = replace(facts, phase="list", targets=targets, asserted=Asserted(observation="x"))
    assert parts(ask(bent, at, valid).payload)[2] == told  # what is listed rests on nothing that was asserted
    alone = ask(replace(facts, phase="list", targets=targets[:1]), at, valid)
    assert parts(alone.payload)[2] == told[:1]
    (nothing,) = parts(ask(replace(facts, phase="list", targets=()), at, valid).payload)[2]
    assert json.loads(nothing) == json.loads(told[0]) | {"targets": []}


def test_the_same_facts_are_the_same_question(facts: Any, at: int, valid: Any) -> None:
    asked_of = [ask(facts, each, valid) for each in (at, at, at + 1)]
    assert asked_of[0].payload == asked_of[1].payload != asked_of[2].payload
    assert asked_of[0].document == asked_of[1].document != asked_of[2].document


def test_a_document_that_is_not_valid_is_not_asked(facts: Any, at: int) -> None:
    with pytest.raises(EngineFault) as caught:
        ask(facts, at, lambda _: False)
    assert caught.value.code == "policy.input"


@pytest.mark.parametrize(
    "bend",
    [
        {"phase": "other"},
        {"judge_refusals": -1},
        {"judge_refusals": "2"},
        {"method": None},
        {"call_digest": None},
    ],
)
def test_the_shipped_schema_refuses_what_is_not_total(facts: Any, at: int, valid: Any, bend: Any) -> None:
    with pytest.raises(EngineFault):
        ask(replace(facts, **bend), at, valid)


@pytest.mark.parametrize("confidence", [math.nan, math.inf, -math.inf, object()])
def test_what_is_not_json_is_not_asked_even_if_the_schema_lets_it_pass(facts: Any, at: int, confidence: Any) -> None:
    with pytest.raises(EngineFault) as caught:
        ask(facts, at, lambda _: True, ({"confidence": confidence},))
    assert caught.value.code == "policy.input"


def test_a_lone_surrogate_reaches_the_engine_only_as_an_escape(facts: Any, at: int) -> None:
    bent = replace(facts, method="\ud800")
    question = ask(bent, at, lambda _: True)
    assert b"\\ud800" in question.document
    assert b"\\ud800" in question.payload


def test_an_allow_passes_with_what_it_carries() -> None:
    found = conclude(asked(), answer(obligations=[REDACT]), frozenset({"redact"}))
    assert (found.effect, found.obligations, found.visible) == (Effect.ALLOW, (REDACT,), {"tool:a"})


def test_a_pending_passes() -> None:
    found = conclude(asked(), answer(effect="pending", requirements=[REQUIREMENT]), frozenset())
    assert (found.effect, found.requirements) == (Effect.PENDING, (REQUIREMENT,))


def test_a_denial_passes_with_its_reasons() -> None:
    reason = {"code": "acme.x", "message": "m", "rule": "packs.acme.deny", "control": ""}
    found = conclude(asked(), answer(effect="deny", reasons=[reason]), frozenset())
    assert (found.effect, codes(found)) == (Effect.DENY, ["acme.x"])


@for_each("visible", [["tool:b"], ["tool:a", "tool:b"], ["a"], [""]])
@for_each("phase", ["call", "list"])
@for_each("effect", ["allow", "deny"])
def test_an_answer_about_something_else_is_a_denial(visible: Any, phase: Any, effect: Any) -> None:
    found = conclude(asked(phase), answer(effect=effect, visible=visible), frozenset())
    assert (found.effect, codes(found), found.visible) == (Effect.DENY, ["policy.not_a_decision"], frozenset())


def test_what_is_not_a_decision_is_a_denial() -> None:
    found = conclude(asked(), b"{}", frozenset())
    assert (found.effect, codes(found)) == (Effect.DENY, ["policy.not_a_decision"])


def test_pending_without_a_visible_target_is_a_denial() -> None:
    found = conclude(asked(), answer(effect="pending", requirements=[REQUIREMENT], visible=[]), frozenset())
    assert (found.effect, codes(found), found.requirements) == (Effect.DENY, ["policy.not_a_decision"], ())


@for_each("supported", [(), ("notify",), ("Redact",), ("*",)])
def test_an_obligation_that_the_caller_does_not_support_is_a_denial(supported: Any) -> None:
    found = conclude(asked(), answer(obligations=[REDACT], waived=[{"waiver": "w"}]), frozenset(supported))
    assert found.effect is Effect.DENY
    assert codes(found) == ["obligation.unsupported"]
    assert (found.visible, found.obligations) == (frozenset(), ())
    assert found.waived == ({"waiver": "w"},)
    assert found.reasons[0] == Reason("obligation.unsupported", found.reasons[0].message, "service", "MCP10")
    assert "redact" in found.reasons[0].message


def test_every_unsupported_obligation_is_named() -> None:
    found = conclude(asked(), answer(obligations=[REDACT, NOTIFY]), frozenset())
    assert "notify, redact" in found.reasons[0].message
    found = conclude(asked(), answer(obligations=[REDACT, NOTIFY]), frozenset({"redact"}))
    assert "redact" not in found.reasons[0].message


@pytest.mark.parametrize("besides", [{}, {"audience": "https://x.example"}, {"scopes": []}, {"resource": "r"}])
@pytest.mark.parametrize("audience", ["https://mail.example", ""])
def test_what_a_token_is_exchanged_for_only_a_manifest_says(
    facts: Any, at: int, valid: Any, besides: Any, audience: str
) -> None:
    behind = replace(facts.targets[0], downstream=Downstream(audience, ("mail.read",)))
    query = ask(replace(facts, targets=(behind,)), at, valid)
    wanted = {"kind": EXCHANGE, "code": "team.exchange", "pack": "team", "control": "MCP01", **besides}
    found = conclude(query, answer(obligations=[wanted], visible=[behind.key]), frozenset({EXCHANGE}))
    if audience and not besides:
        assert (found.effect, found.obligations) == (Effect.ALLOW, (wanted,))
    else:
        assert (found.effect, codes(found), found.obligations) == (Effect.DENY, ["obligation.audience"], ())
    # nor is there a token to exchange once a tool has answered
    result = replace(query.members, values={**query.members.values, "phase": "result"})
    later = conclude(
        replace(query, members=result), answer(obligations=[wanted], visible=[behind.key]), frozenset({EXCHANGE})
    )
    assert codes(later) == ["obligation.audience"]


def test_more_support_than_needed_does_no_harm() -> None:
    found = conclude(asked(), answer(obligations=[REDACT]), frozenset({"redact", "notify"}))
    assert found.effect is Effect.ALLOW


def test_a_list_says_what_is_visible() -> None:
    found = conclude(asked("list", ("tool:a", "tool:b")), answer(effect="deny"), frozenset())
    assert (found.effect, found.visible) == (Effect.DENY, {"tool:a"})


@for_each("changes", [{}, {"effect": "pending", "requirements": [REQUIREMENT]}])
def test_a_list_decides_no_call(changes: Any) -> None:
    found = conclude(asked("list"), answer(**changes), frozenset())
    assert (found.effect, codes(found), found.visible) == (Effect.DENY, ["policy.not_a_decision"], frozenset())


GATE_REASON = {"code": "x.bad", "message": "A check did not pass.", "rule": "pdp.gate", "control": ""}
PACK_REASON = {"code": "x.bad", "message": "Acme's words.", "rule": "packs.acme.deny", "control": ""}
BAD = failed("x.bad", "Mend it like this.")


def advised(facts: Any, at: int, **changes: Any) -> Any:
    return conclude(ask(facts, at, lambda _: True), answer(**changes), frozenset())


@pytest.mark.parametrize("part", ["server", "arguments", "session"])
def test_a_failed_check_says_how_to_mend_it(facts: Any, at: int, part: str) -> None:
    bent = replace(facts, **{part: replace(getattr(facts, part), check=BAD)})
    found = advised(bent, at, effect="deny", visible=[], reasons=[GATE_REASON, PACK_REASON])
    assert [r.message for r in found.reasons] == ["Mend it like this.", "Acme's words."]
    assert (found.effect, codes(found)) == (Effect.DENY, ["x.bad", "x.bad"])


def test_a_target_and_an_identity_say_it_too(facts: Any, at: int) -> None:
    identity = facts.identity
    for bent in (
        replace(facts, targets=(replace(facts.targets[0], check=BAD),)),
        replace(facts, switch=BAD),
        replace(facts, identity=replace(identity, subject=replace(identity.subject, check=BAD))),
        replace(facts, identity=replace(identity, agent=replace(identity.agent, check=BAD))),
    ):
        hidden = [{"key": "tool:git_status", "reasons": [GATE_REASON]}]
        found = advised(bent, at, effect="deny", visible=[], reasons=[GATE_REASON], hidden=hidden)
        assert found.reasons[0].message == "Mend it like this."
        assert found.hidden[0].reasons[0].message == "Mend it like this."


def test_without_advice_the_words_stay(facts: Any, at: int) -> None:
    silent = replace(facts, server=replace(facts.server, check=failed("x.bad", "")))
    for asking in (facts, silent):
        found = advised(asking, at, effect="deny", visible=[], reasons=[GATE_REASON])
        assert found.reasons[0].message == "A check did not pass."


def test_a_list_has_no_call_checks_to_mend(facts: Any, at: int) -> None:
    bent = replace(facts, phase="list", session=replace(facts.session, check=BAD))
    found = advised(bent, at, effect="deny", visible=[], reasons=[GATE_REASON])
    assert found.reasons[0].message == "A check did not pass."


def test_advice_changes_nothing_but_words(facts: Any, at: int) -> None:
    bent = replace(facts, server=replace(facts.server, check=BAD))
    found = advised(bent, at, visible=["tool:git_status"], reasons=[GATE_REASON], waived=[{"waiver": "w"}])
    assert (found.effect, found.visible, found.waived) == (Effect.ALLOW, {"tool:git_status"}, ({"waiver": "w"},))


def test_members_are_checked_as_within_the_document(facts: Any, at: Any, schema: Any) -> None:
    whole, some = (validator_for(each).is_valid for each in (schema, schema_of_members(schema)))
    told = document(replace(facts, call_digest="0" * 64), (), at, revision="r1", packs=("baseline",))
    assert whole(told)
    assert told.keys() == set(schema["required"])
    for name, value in told.items():
        assert some({name: value}), name
        members = value if isinstance(value, dict) else {}
        wrongs = [{**members, "more": 1}, *({**members, each: {"a": [1.5]}} for each in members), -1.5, None]
        for wrong in wrongs:
            assert whole({**told, name: wrong}) is some({name: wrong}), (name, wrong)
    assert not some({"more": 1})
    with pytest.raises(BundleFault):
        schema_of_members({**schema, "allOf": [{}]})


@for_each(
    ("name", "change"),
    [
        ("asserted", {"asserted": Asserted(observation="x")}),
        ("judge", {"judge_prompts": {"fit": "11"}}),
        ("call_checks", {"arguments": ArgumentsFact(BAD)}),
        ("call_checks", {"session": SessionFact(BAD)}),
        ("questions", {"questions": replace(UNREAD)}),
        ("mandate", {"mandate": replace(NO_MANDATE)}),
    ],
)
def test_what_is_not_shared_is_a_calls_own(facts: Any, at: int, valid: Any, name: str, change: Any) -> None:
    shared = SharedFacts(facts)
    usual = question(shared, facts, (), at, policy(valid))
    bent = replace(facts, **change)
    mine = question(shared, bent, (), at, policy(valid))
    assert json.loads(mine.document) == document(bent, (), at, revision="r1", packs=("baseline",))
    assert name in own(bent, (), at, facts)
    assert (usual.members.kept is None, mine.members.kept) == (False, None)
    assert question(SharedFacts(bent), bent, (), at, policy(valid)).payload == mine.payload
    again = question(shared, facts, (), at, policy(valid))
    assert (again.payload, again.members.kept is usual.members.kept) == (usual.payload, True)
    assert common(facts, revision="r1", packs=("baseline",)).keys() == again.members.values.keys()
