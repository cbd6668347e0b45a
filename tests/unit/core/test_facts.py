"""The input document is total, fits its schema, and never carries what was not verified."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.facts import ABSENT
from support.for_each import for_each

from pdp.core.call.facts import (
    RISKS,
    WORST_LABELS,
    Actor,
    AgentFact,
    ArgumentsFact,
    Asserted,
    CallerFact,
    Facts,
    Identity,
    ServerFact,
    SessionFact,
    SubjectFact,
    TargetFact,
    document,
    time_fact,
)
from pdp.core.check import OK, WORST_COUNT, Check, failed, missing

BAD = failed("x.bad", "It is bad. Make it good.")


def made(facts: Any, at: int, evidence: Any = ()) -> Any:
    return document(facts, evidence, at, revision="r1", packs=("acme", "baseline"))


def barest() -> Any:
    """What is left when nothing could be established."""
    return Facts(
        phase="list",
        method="",
        caller=CallerFact(ABSENT, "", ""),
        identity=Identity(SubjectFact(ABSENT), AgentFact(ABSENT)),
        server=ServerFact(ABSENT, ""),
        switch=ABSENT,
        targets=(TargetFact(ABSENT, key="tool:x", kind="tool", name="x", server=""),),
        arguments=ArgumentsFact(ABSENT),
        session=SessionFact(ABSENT),
        asserted=Asserted(),
    )


def total(schema: Any, value: Any, path: Any = "") -> Any:
    """Every declared property is there, at any depth; yields the paths that are not."""
    if isinstance(value, dict) and "properties" in schema:
        for name, sub in schema["properties"].items():
            if name not in value:
                yield f"{path}/{name}"
            else:
                yield from total(sub, value[name], f"{path}/{name}")
    elif isinstance(value, list):
        for item in value:
            yield from total(schema.get("items", {}), item, f"{path}/-")


def test_a_full_document_is_valid_and_total(facts: Any, at: int, schema: Any, valid: Any) -> None:
    doc = made(facts, at, ({"for": {}, "call": "d1"},))
    assert valid(doc)
    assert list(total(schema, doc)) == []


def test_a_bare_document_is_valid_and_total(at: int, schema: Any, valid: Any) -> None:
    doc = made(barest(), at)
    assert valid(doc)
    assert list(total(schema, doc)) == []


def test_the_schema_asks_for_every_property_at_every_depth(schema: Any) -> None:
    def loose(node: Any, path: Any = "") -> Any:
        if node.get("type") == "object" and "properties" in node:
            if node["additionalProperties"] is not False or set(node["required"]) != set(node["properties"]):
                yield path
            for name, sub in node["properties"].items():
                yield from loose(sub, f"{path}/{name}")
        yield from loose(node["items"], f"{path}/-") if "items" in node else ()

    assert list(loose(schema)) == []


def test_nothing_that_policy_orders_can_be_null(schema: Any) -> None:
    """`null < 1` is true, so a number has no null beside it."""

    def numbers(node: Any, path: Any = "") -> Any:
        kinds = node.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        if ("integer" in kinds or "number" in kinds) and "null" in kinds:
            yield path
        for name, sub in node.get("properties", {}).items():
            yield from numbers(sub, f"{path}/{name}")
        yield from numbers(node["items"], f"{path}/-") if "items" in node else ()

    assert list(numbers(schema)) == []


def test_it_goes_through_json_unchanged(facts: Any, at: int) -> None:
    doc = made(facts, at)
    assert json.loads(json.dumps(doc, allow_nan=False)) == doc


@pytest.mark.parametrize("check", [BAD, missing("x.missing", ""), Check("unknown"), Check("")])
def test_an_unverified_subject_never_leaks(facts: Any, at: int, check: Any) -> None:
    identity = replace(facts.identity, subject=replace(facts.identity.subject, check=check))
    doc = made(replace(facts, identity=identity), at)
    assert doc["subject"] == {
        "status": check.status,
        "source": "none",
        "id": None,
        "issuer": None,
        "kind": "unknown",
        "groups": [],
        "scopes": [],
        "acr": None,
        "amr": [],
        "issued_ns": 0,
        "authenticated_ns": 0,
        "expires_ns": 0,
    }
    assert doc["actors"] == []
    assert doc["checks"]["subject"] == {"status": check.status, "code": check.code}


def test_a_verified_subject_is_shown_with_its_actors(facts: Any, at: int) -> None:
    doc = made(facts, at)
    assert doc["subject"]["groups"] == ["developers"]
    assert doc["subject"]["scopes"] == ["repo:read"]
    assert doc["actors"] == [{"id": "assistant", "issuer": "https://id.example"}]


def test_token_ids_and_messages_are_not_for_policy(facts: Any, at: int) -> None:
    bent = replace(facts, switch=BAD)
    text = json.dumps(made(bent, at))
    assert "token-1" not in text
    assert BAD.message not in text


def test_an_unverified_agent_never_leaks(facts: Any, at: int) -> None:
    identity = replace(facts.identity, agent=replace(facts.identity.agent, check=BAD))
    doc = made(replace(facts, identity=identity), at)
    assert doc["agent"] == {
        "status": "failed",
        "source": "none",
        "id": None,
        "kind": "unknown",
        "registration": {"status": "unregistered", "owner": None, "server": False, "expires_ns": 0},
    }


def test_arguments_that_failed_their_check_are_withheld(facts: Any, at: int) -> None:
    doc = made(replace(facts, arguments=replace(facts.arguments, check=BAD)), at)
    assert doc["arguments"]["value"] == {}
    assert doc["call_checks"]["arguments"] == {"status": "failed", "code": "x.bad"}


@pytest.mark.parametrize(
    ("source", "shown"), [("subject_signed", "look"), ("caller", "look"), ("agent", None), ("none", None)]
)
def test_a_task_is_a_fact_only_if_somebody_stands_behind_it(facts: Any, at: int, source: Any, shown: Any) -> None:
    doc = made(replace(facts, session=replace(facts.session, task_source=source)), at)
    assert doc["session"]["task"] == shown
    assert doc["session"]["task_source"] == source


def test_unknown_things_hold_their_worst_values(at: int) -> None:
    assert WORST_COUNT == 9_007_199_254_740_991  # what every reader of JSON holds exactly
    doc = made(barest(), at)
    target, session = doc["targets"][0], doc["session"]
    assert (target["risk"], target["risk_level"], target["schema_open"], target["cost"]) == (
        "critical",
        4,
        True,
        WORST_COUNT,
    )
    assert target["annotations"] == {"read_only": False, "destructive": True, "idempotent": False, "open_world": True}
    assert (session["known"], session["observed"], tuple(session["labels"])) == (False, False, WORST_LABELS)
    assert (session["calls"], session["denials"], session["started_ns"]) == (WORST_COUNT, WORST_COUNT, 0)
    assert (doc["arguments"]["size"], doc["arguments"]["depth"]) == (WORST_COUNT, WORST_COUNT)
    assert doc["subject"]["kind"] == "unknown"
    assert doc["call"]["digest"] == ""


@pytest.mark.parametrize(("risk", "level"), [(r, i) for i, r in enumerate(RISKS, 1)])
def test_risks_are_ordered(facts: Any, at: int, risk: Any, level: Any) -> None:
    doc = made(replace(facts, targets=(replace(facts.targets[0], risk=risk),)), at)
    assert doc["targets"][0]["risk_level"] == level


def test_each_check_stands_under_its_own_name(facts: Any, at: int) -> None:
    identity = facts.identity
    names = ("caller", "subject", "agent", "server", "switch", "arguments", "session", "result")
    checks = {n: failed(f"x.{n}", "") for n in names}
    bent = replace(
        facts,
        caller=replace(facts.caller, check=checks["caller"]),
        identity=replace(
            identity,
            subject=replace(identity.subject, check=checks["subject"]),
            agent=replace(identity.agent, check=checks["agent"]),
        ),
        server=replace(facts.server, check=checks["server"]),
        switch=checks["switch"],
        arguments=replace(facts.arguments, check=checks["arguments"]),
        session=replace(facts.session, check=checks["session"]),
        result=replace(facts.result, check=checks["result"]),
    )
    doc = made(bent, at)
    assert {n: c["code"] for n, c in {**doc["checks"], **doc["call_checks"]}.items()} == {n: f"x.{n}" for n in checks}


def test_the_rest_is_passed_as_it_is(facts: Any, at: int) -> None:
    doc = made(facts, at, ({"call": "d1"},))
    assert doc["policy"] == {"revision": "r1", "packs": ["acme", "baseline"]}
    counts = {"judge_refusals": 2, "unknown_outcomes": 1, "people_refusals": 3, "people_withdrawals": 4}
    assert doc["call"] == {"method": "tools/call", "digest": "d1", **counts, "judge_configured": True}
    assert doc["evidence"] == [{"call": "d1"}]
    assert doc["judge"] == {"prompts": {"intent": "11"}}
    assert doc["waivers"][0]["expires_ns"] == at + 1
    assert doc["asserted"]["extra"] == {"k": [1]}
    assert doc["arguments"]["findings"] == [{"kind": "undeclared", "pointer": "/x", "detail": "d"}]
    assert doc["targets"][0]["sinks"] == [{"kind": "filesystem", "argument": "/path"}]


@for_each(
    ("at_ns", "expected"),
    [
        (0, ("1970-01-01T00:00:00Z", "1970-01-01", 4, 0)),
        (1_782_907_200_123_456_789, ("2026-07-01T12:00:00Z", "2026-07-01", 3, 720)),
        (1_798_761_599_999_999_999, ("2026-12-31T23:59:59Z", "2026-12-31", 4, 1439)),
        (1_798_761_600_000_000_000, ("2027-01-01T00:00:00Z", "2027-01-01", 5, 0)),
        (1_709_251_199_000_000_000, ("2024-02-29T23:59:59Z", "2024-02-29", 4, 1439)),
    ],
)
def test_the_instant(at_ns: int, expected: Any) -> None:
    found = time_fact(at_ns)
    assert found["ns"] == at_ns
    assert (found["rfc3339"], found["date"], found["weekday"], found["minute_of_day"]) == expected


def test_only_ok_is_ok() -> None:
    assert OK.ok
    assert not any(Check(s).ok for s in ("failed", "missing", "", "OK", "ok ", "unknown"))


def test_an_actor_may_lack_an_issuer(facts: Any, at: int, valid: Any) -> None:
    doc = made(replace(facts, identity=replace(facts.identity, actors=(Actor("a"),))), at)
    assert doc["actors"] == [{"id": "a", "issuer": None}]
    assert valid(doc)
