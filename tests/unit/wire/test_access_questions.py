"""Questions of AuthZEN as our own requests: what counts, what is only asserted, and numbers as they came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.call.methods import operation_of
from pdp.core.call.request import Ask, AssertedClaims, Caller, GenericTarget, MayAssert, NoCredential, SessionAsk
from pdp.core.errors import InvalidRequest
from pdp.wire.authzen import access_questions as questions
from pdp.wire.authzen.options import AuthzenOptions

USERS = "https://id.example"
_CLOSED = {"type": "object", "additionalProperties": False}
SCHEMA = {
    **_CLOSED,
    "properties": {
        "subject": {**_CLOSED, "properties": {"properties": {**_CLOSED, "properties": {"role": {}, "groups": {}}}}},
        "resource": {**_CLOSED, "properties": {"properties": {**_CLOSED, "properties": {"status": {}}}}},
    },
}
OPTIONS = AuthzenOptions.model_validate(
    {
        "listen": "127.0.0.1:0",
        "server": "records",
        "servers": {"invoice": "billing"},
        "subjects": {"user": {"issuer": USERS, "claims": ["groups"]}},
    }
)


def caller(*, properties: bool) -> Caller:
    return Caller(
        "app", "acme", frozenset(), frozenset({"records"}), may_assert=MayAssert((USERS,), properties=properties)
    )


def asked(body: Any, *, properties: bool = True, schema: Any = SCHEMA) -> Ask:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = questions.question(questions.body(raw, 100_000))
    return questions.ask(found, caller(properties=properties), OPTIONS, lambda _server, _name: schema, 0)


BODY: dict[str, Any] = {
    "subject": {"type": "user", "id": "alice", "properties": {"role": "admin", "groups": ["g"], "shoe": 44}},
    "action": {"name": "write", "properties": {"soft": True}},
    "resource": {"type": "record", "id": "record-1", "properties": {"status": "active", "size": 10000}},
    "context": {"ip": "192.0.2.1"},
}


def target(ask: Ask) -> tuple[GenericTarget, Any]:
    assert isinstance(ask.target, GenericTarget)
    return ask.target, json.loads(ask.target.arguments)


def test_a_vouched_question() -> None:
    found = asked(BODY)
    about, arguments = target(found)
    assert (about.server, about.type, about.name, found.method) == ("records", "record", "record-1", "write")
    assert arguments == {
        "subject": {"type": "user", "properties": {"role": "admin", "groups": ["g"]}},
        "action": {"properties": {"soft": True}},
        "resource": {"type": "record", "id": "record-1", "properties": {"status": "active"}},
    }
    # what the schema does not declare, and the context, are only asserted
    assert json.loads(found.extra) == {
        "subject": {"properties": {"shoe": 44}},
        "resource": {"properties": {"size": 10000}},
        "context": {"ip": "192.0.2.1"},
    }
    assert isinstance(found.credential, AssertedClaims)
    assert (found.credential.issuer, found.credential.subject) == (USERS, "alice")
    assert json.loads(found.credential.claims) == {"groups": ["g"], "client_id": "app"}


def test_the_task_of_a_question_is_a_text_of_its_context() -> None:
    assert asked(BODY).session == SessionAsk()
    said = asked({**BODY, "context": {"task": "Pay the bill"}})
    assert (said.session, json.loads(said.extra)["context"]) == (
        SessionAsk(task="Pay the bill"),
        {"task": "Pay the bill"},
    )
    for other in ({"a": 1}, ["Pay"], 7, None, "x" * 40_000):
        assert asked({**BODY, "context": {"task": other}}).session.task == ""


@for_each("schema", [None, {}, {"properties": []}, {"properties": {"subject": True}}])
def test_without_a_declaring_schema_no_property_counts(schema: Any) -> None:
    _, arguments = target(asked(BODY, schema=schema))
    assert arguments["subject"]["properties"] == arguments["resource"]["properties"] == {}


def test_without_the_right_no_property_counts() -> None:
    found = asked(BODY, properties=False)
    _, arguments = target(found)
    assert arguments["subject"]["properties"] == arguments["resource"]["properties"] == {}
    assert arguments["action"]["properties"] == {"soft": True}
    assert json.loads(found.extra)["subject"]["properties"] == BODY["subject"]["properties"]


def _of_action(**said: Any) -> dict[str, Any]:
    action = {**_CLOSED, "properties": {"properties": {"type": "object", "properties": {"soft": {}}, **said}}}
    return {**SCHEMA, "properties": {**SCHEMA["properties"], "action": action}}


def test_a_property_of_the_action_that_is_not_declared_is_only_asserted() -> None:
    body = {**BODY, "action": {"name": "write", "properties": {"soft": True, "method": "GET"}}}
    found = asked(body, schema=_of_action(additionalProperties=False), properties=False)
    assert target(found)[1]["action"] == {"properties": {"soft": True}}
    assert json.loads(found.extra)["action"] == {"properties": {"method": "GET"}}


@for_each(
    "said",
    [
        {},
        {"additionalProperties": True},
        {"additionalProperties": {"type": "string"}},
        {"additionalProperties": False, "patternProperties": {"^m": {"type": "number"}}},
        {"additionalProperties": False, "allOf": [{}]},
        {"additionalProperties": False, "$ref": "#/$defs/a"},
    ],
)
def test_what_a_schema_says_of_other_properties_of_the_action_is_checked(said: dict[str, Any]) -> None:
    body = {**BODY, "action": {"name": "write", "properties": {"soft": True, "method": "GET"}}}
    found = asked(body, schema=_of_action(**said))
    assert target(found)[1]["action"] == {"properties": {"soft": True, "method": "GET"}}
    assert "action" not in json.loads(found.extra)


def test_a_type_that_is_not_configured_is_nobody() -> None:
    found = asked({**BODY, "subject": {"type": "robot", "id": "alice"}})
    assert isinstance(found.credential, NoCredential)


def test_a_body_says_nothing_of_client_and_issuer() -> None:
    subject = {"type": "user", "id": "alice", "properties": {"client_id": "x", "iss": "y", "act": {"sub": "z"}}}
    credential = asked({**BODY, "subject": subject}).credential
    assert isinstance(credential, AssertedClaims)
    assert json.loads(credential.claims) == {"client_id": "app"}


def test_a_type_of_resource_may_have_a_server_of_its_own() -> None:
    about, _ = target(asked({**BODY, "resource": {"type": "invoice", "id": "1"}}))
    assert about.server == "billing"


@for_each("number", ["10000", "9007199254740993", "-9223372036854775808", "0.5"])
def test_numbers_stay_what_they_are(number: str) -> None:
    body = json.dumps(BODY).replace("10000", number).replace("true", number).encode()
    found = asked(body)
    assert f'"size":{number}' in found.extra.decode()
    assert f'"soft":{number}' in target(found)[0].arguments.decode()


@for_each("number", ["9223372036854775808", "1e400", "0.1234567890123456789"])
def test_numbers_that_cannot_be_kept_are_refused(number: str) -> None:
    with pytest.raises(InvalidRequest):
        asked(json.dumps(BODY).replace("10000", number).encode())


def test_names_of_operations_are_never_the_same_for_two() -> None:
    assert operation_of("record", "read") == "record/read"
    assert operation_of("a/b", "c") != operation_of("a", "b/c")
    assert operation_of("a%2Fb", "c") != operation_of("a/b", "c")


def test_a_claim_that_identifies_does_not_come_from_a_body() -> None:
    for claim in ("client_id", "sub", "exp"):
        with pytest.raises(ValueError, match=claim):
            AuthzenOptions.model_validate(
                {"listen": "127.0.0.1:0", "server": "x", "subjects": {"user": {"issuer": USERS, "claims": [claim]}}}
            )


@for_each(
    "wrong",
    [
        {"listen": "10.0.0.1:1"},
        {"listen": "nowhere"},
        {"certificate_file": "x"},
        {"client_ca_file": "x"},
        {"url": "http://pdp.acme.example"},
        {"url": "https://pdp.acme.example/"},
        {"url": "https://pdp.acme.example?x"},
    ],
)
def test_settings_that_cannot_be_meant(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="AuthzenOptions"):
        AuthzenOptions.model_validate({"listen": "127.0.0.1:0", "server": "records", **wrong})
