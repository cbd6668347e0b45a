"""Codec, inwards: presence, shape, limits; messages name fields and never values."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.for_each import for_each

from pdp.core.call.request import (
    AssertedClaims,
    Bearer,
    ClientAnswer,
    GenericTarget,
    NoCredential,
    PromptTarget,
    ResourceTarget,
    SessionAsk,
    ToolTarget,
)
from pdp.core.errors import InvalidRequest
from pdp.v1 import decision_pb2 as d
from pdp.v1 import types_pb2 as t
from pdp.wire.grpc.codec import decisions, fields

SECRET = "s3cr3t\x00"


def decide(**changes: Any) -> Any:
    request = d.DecideRequest(
        request_id="r-1", method="tools/call", target=t.Target(tool=t.ToolTarget(server="git", name="git_status"))
    )
    request.MergeFrom(d.DecideRequest(**changes))
    return request


def test_a_full_request_arrives_whole() -> None:
    request = d.DecideRequest(
        request_id="r-1",
        call_id="c-1",
        method="tools/call",
        target=t.Target(
            tool=t.ToolTarget(
                server="git", name="git_log", definition_json=b'{"name":"x"}', arguments_json=b'{"a":1}'
            )
        ),
        credential=t.Credential(bearer="e.y.J"),
        session=t.Session(id="s", task="look\nhere", parent="p", task_token="tt", handle="h", context_reset=True),
        protocol_version="2026-07-28",
        client_capabilities_json=b"{}",
        supported_obligations=["log", "redact_result"],
        context=t.Context(
            client_address="2001:db8::1",
            observation="page\n",
            extra_json=b'{"k":1}',
            meta_json=b"{}",
            working_folder="/a",
        ),
        resume_token="rt",
        client_answers=[d.ClientAnswer(requirement_id="q", answer=d.ANSWER_ACCEPT)],
    )
    found = decisions.ask(request)
    assert found.target == ToolTarget("git", "git_log", b'{"name":"x"}', "", b'{"a":1}')
    assert found.credential == Bearer("e.y.J")
    assert found.session == SessionAsk("s", "look\nhere", False, "p", "tt", "h", True)
    assert (found.request_id, found.call_id, found.method) == ("r-1", "c-1", "tools/call")
    assert (found.client_address, found.observation, found.extra) == ("2001:db8::1", "page\n", b'{"k":1}')
    assert found.working_folder == "/a"
    assert found.meta == b"{}"
    assert (found.supported_obligations, found.resume_token) == (("log", "redact_result"), "rt")
    assert found.client_answers == (ClientAnswer("q", "accept"),)
    assert (found.protocol_version, found.client_capabilities) == ("2026-07-28", b"{}")


def test_what_is_not_given_is_nothing() -> None:
    found = decisions.ask(decide())
    assert found.target == ToolTarget("git", "git_status", None, "", b"{}")
    assert isinstance(found.credential, NoCredential)
    assert found.session == SessionAsk()
    assert (found.extra, found.client_capabilities, found.supported_obligations) == (b"", b"", ())


@for_each(
    ("target", "expected"),
    [
        (t.Target(resource=t.ResourceTarget(server="s", uri="file:///x")), ResourceTarget("s", "file:///x")),
        (t.Target(prompt=t.PromptTarget(server="s", name="p", arguments_json=b"{}")), PromptTarget("s", "p", b"{}")),
        (t.Target(generic=t.GenericTarget(type="document", id="7")), GenericTarget("document", "7", b"")),
    ],
)
def test_other_targets(target: Any, expected: Any) -> None:
    request = d.DecideRequest(request_id="r", method="resources/read", target=target)
    assert decisions.ask(request).target == expected


def test_an_empty_definition_and_an_empty_token_are_not_given() -> None:
    tool = t.ToolTarget(server="git", name="x", definition_json=b"")
    found = decisions.ask(decide(target=t.Target(tool=tool), credential=t.Credential(bearer="")))
    assert found.target.definition is None
    assert isinstance(found.credential, NoCredential)


def test_asserted_claims() -> None:
    claims = t.AssertedClaims(issuer="https://id.example", subject="ada")
    found = decisions.ask(decide(credential=t.Credential(claims=claims)))
    assert found.credential == AssertedClaims("https://id.example", "ada", b"{}")


def test_a_task_that_the_agent_wrote_says_so() -> None:
    session = t.Session(id="s", task="anything goes", task_by_agent=True)
    assert decisions.ask(decide(session=session)).session == SessionAsk("s", "anything goes", task_by_agent=True)


def tool(**changes: Any) -> Any:
    return t.Target(tool=t.ToolTarget(**{"server": "git", "name": "x", **changes}))


REFUSED = {
    "request_id": [decide(request_id="a" * 129), decide(request_id="ä"), decide(request_id="a\n")],
    "method": [d.DecideRequest(request_id="r", target=tool()), decide(method="x" * 129)],
    "call_id": [decide(call_id=SECRET), decide(call_id="x" * 513)],
    "target": [
        d.DecideRequest(request_id="r", method="tools/call"),
        d.DecideRequest(request_id="r", method="tools/call", target=t.Target()),
    ],
    "target.tool.server": [d.DecideRequest(request_id="r", method="m", target=t.Target(tool=t.ToolTarget(name="x")))],
    "target.tool.name": [
        d.DecideRequest(request_id="r", method="m", target=t.Target(tool=t.ToolTarget(server="x"))),
        decide(target=tool(name="a\u202eb")),
    ],
    "target.tool.definition_json": [decide(target=tool(definition_json=b"x" * (fields.MAX_JSON_BYTES + 1)))],
    "target.tool.arguments_json": [decide(target=tool(arguments_json=b"x" * (fields.MAX_ARGUMENTS_BYTES + 1)))],
    "target.resource.uri": [
        d.DecideRequest(request_id="r", method="m", target=t.Target(resource=t.ResourceTarget(server="s")))
    ],
    "target.prompt.name": [
        d.DecideRequest(request_id="r", method="m", target=t.Target(prompt=t.PromptTarget(server="s")))
    ],
    "target.generic.id": [
        d.DecideRequest(request_id="r", method="m", target=t.Target(generic=t.GenericTarget(type="s")))
    ],
    "credential.bearer": [decide(credential=t.Credential(bearer="x" * (fields.MAX_TOKEN + 1)))],
    "credential.claims.issuer": [decide(credential=t.Credential(claims=t.AssertedClaims(subject="x")))],
    "credential.claims.subject": [decide(credential=t.Credential(claims=t.AssertedClaims(issuer="x")))],
    "session.id": [decide(session=t.Session(id=SECRET))],
    "session.task": [decide(session=t.Session(task="x" * (fields.MAX_TASK + 1)))],
    "context.client_address": [
        decide(context=t.Context(client_address="10.0.0.1:80")),
        decide(context=t.Context(client_address="s3cr3t")),
    ],
    "context.observation": [decide(context=t.Context(observation="x" * (fields.MAX_OBSERVATION + 1)))],
    "context.meta_json": [decide(context=t.Context(meta_json=b"x" * (fields.MAX_JSON_BYTES + 1)))],
    "context.extra_json": [decide(context=t.Context(extra_json=b"x" * (fields.MAX_JSON_BYTES + 1)))],
    "supported_obligations": [decide(supported_obligations=["log"] * 65)],
    "supported_obligations[1]": [
        decide(supported_obligations=["log", ""]),
        decide(supported_obligations=["a", SECRET]),
    ],
    "client_answers": [decide(client_answers=[d.ClientAnswer(requirement_id="x")] * (fields.MAX_CLIENT_ANSWERS + 1))],
    "client_answers[0].requirement_id": [decide(client_answers=[d.ClientAnswer()])],
    "client_answers[0].answer": [decide(client_answers=[d.ClientAnswer(requirement_id="x", answer=99)])],
}


@for_each(
    ("field", "request_"),
    [(f, r) for f, many in REFUSED.items() for r in many],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_what_has_no_shape_is_refused_by_its_field(field: Any, request_: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decisions.ask(request_)
    assert refused.value.field == field
    assert "s3cr3t" not in refused.value.message


@for_each("place", ("working_folder", "observation"))
def test_text_that_is_no_unicode_is_refused_whatever_protocol_brought_it(place: Any) -> None:
    with pytest.raises(InvalidRequest, match=rf"^context\.{place}: has a lone surrogate"):
        fields.checked(replace(decisions.ask(decide()), **{place: "/\ud800"}))


def test_the_request_id_is_mandatory() -> None:
    for bare, read in ((decide(), decisions.ask), (d.FilterToolsRequest(server="git"), decisions.list_ask)):
        bare.request_id = ""
        with pytest.raises(InvalidRequest, match=r"^request_id: is missing"):
            read(bare)


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128))
def test_any_printable_ascii_request_id_is_kept(request_id: Any) -> None:
    assert decisions.ask(decide(request_id=request_id)).request_id == request_id


@given(
    server=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64),
    name=st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=64),
    arguments=st.binary(min_size=1, max_size=256),
    task=st.text(max_size=256),
    observation=st.text(max_size=256),
)
def test_text_and_bytes_pass_unchanged(server: Any, name: Any, arguments: Any, task: Any, observation: Any) -> None:
    """Through the wire format too: what policy sees is what the caller wrote."""
    sent = decide(
        target=t.Target(tool=t.ToolTarget(server=server, name=name, arguments_json=arguments)),
        session=t.Session(id="s", task=task),
        context=t.Context(observation=observation),
    )
    found = decisions.ask(d.DecideRequest.FromString(sent.SerializeToString()))
    assert (found.target.server, found.target.name, found.target.arguments) == (server, name, arguments)
    assert (found.session.task, found.observation) == (task, observation)


def test_a_list() -> None:
    request = d.FilterToolsRequest(
        request_id="r",
        server="git",
        definitions_json=[b"{}", b"[]"],
        presented_only=True,
        credential=t.Credential(bearer="x"),
        session=t.Session(id="s"),
        protocol_version="v",
    )
    found = decisions.list_ask(request)
    assert (found.request_id, found.server, found.definitions) == ("r", "git", (b"{}", b"[]"))
    assert (found.credential, found.session, found.protocol_version) == (Bearer("x"), SessionAsk("s"), "v")


@for_each(
    ("field", "changes"),
    [
        ("server", {"server": ""}),
        ("definitions_json", {"definitions_json": [b""] * (fields.MAX_DEFINITIONS + 1)}),
        ("definitions_json[1]", {"definitions_json": [b"", b"x" * (fields.MAX_JSON_BYTES + 1)]}),
        ("method", {"method": "x" * 129}),
        ("protocol_version", {"protocol_version": SECRET}),
        ("client_capabilities_json", {"client_capabilities_json": b"x" * (fields.MAX_JSON_BYTES + 1)}),
        ("credential.bearer", {"credential": t.Credential(bearer="x" * (fields.MAX_TOKEN + 1))}),
        ("session.id", {"session": t.Session(id=SECRET)}),
        ("context.client_address", {"context": t.Context(client_address="s3cr3t")}),
        ("context.observation", {"context": t.Context(observation="x" * (fields.MAX_OBSERVATION + 1))}),
        ("context.extra_json", {"context": t.Context(extra_json=b"x" * (fields.MAX_JSON_BYTES + 1))}),
        ("context.meta_json", {"context": t.Context(meta_json=b"x" * (fields.MAX_JSON_BYTES + 1))}),
    ],
)
def test_a_list_without_shape_is_refused(field: Any, changes: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        decisions.list_ask(d.FilterToolsRequest(**{"request_id": "r", "server": "git", **changes}))
    assert refused.value.field == field


@for_each(("said", "method"), [("", "tools/list"), ("resources/list", "resources/list")])
def test_a_list_says_what_it_is_of(said: Any, method: Any) -> None:
    assert decisions.list_ask(d.FilterToolsRequest(request_id="r", server="git", method=said)).method == method


@for_each("presented_only", [False, True])
def test_a_list_about_nothing_stays_one(presented_only: Any) -> None:
    request = d.FilterToolsRequest(request_id="r", server="git", method="tools/list", presented_only=presented_only)
    found = decisions.list_ask(request)
    assert (found.definitions, found.presented_only) == ((), presented_only)
