"""Prompts and resources through a whole server: what is decided about them, and that nothing passes for them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from served import OTHERS, TOOLS, Refused, Served, make_world, served
from support.for_each import for_each
from support.tools import PROMPTS, RESOURCES

from devtools.sandbox import ALICE, BOB, Sandbox
from pdp.v1 import admin_pb2, decision_pb2, types_pb2

ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING
# acme grants only what is harmless; this grants whatever is pinned, so that the baseline's requirements show
EVERYTHING = """package packs.everything

meta := {"servers": ["git"], "owner": "o", "kinds": ["prompt", "resource"]}

allow contains {"target": t.key, "code": "everything.all"} if {
	some t in input.targets
	"developers" in input.subject.groups
}
"""
TESTS = """package everything_test

import data.lib.testing
import data.packs.everything

test_developers if {
	question := testing.call({"subject": {"groups": ["developers"]}})
	"everything.all" in testing.codes(everything.allow) with input as question
}

test_nobody_else if {
	everything.allow == set() with input as testing.call({})
}
"""


def add_everything(world: Sandbox, *kinds: str) -> None:
    """Put the pack into the world's policy: what is pinned of these kinds is granted to developers."""
    granted = EVERYTHING.replace('["prompt", "resource"]', json.dumps(kinds or ("prompt", "resource")))
    pack = world.folder / "policy" / "packs" / "everything"
    pack.mkdir(mode=0o755)
    for name, text in (("everything.rego", granted), ("everything_test.rego", TESTS)):
        (pack / name).write_text(text, encoding="utf-8")
        (pack / name).chmod(0o644)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    world = make_world(tmp_path_factory.mktemp("s") / "w", others=True)
    add_everything(world)
    with served(world) as found:
        yield found


def asks(method: str, target: types_pb2.Target, bearer: str, **more: Any) -> decision_pb2.DecideRequest:
    return decision_pb2.DecideRequest(
        request_id=str(uuid.uuid4()),
        method=method,
        target=target,
        credential=types_pb2.Credential(bearer=bearer),
        **more,
    )


def prompt(name: str, arguments: Any = None, shown: Any = ...) -> types_pb2.Target:
    definition = PROMPTS.get(name) if shown is ... else shown
    return types_pb2.Target(
        prompt=types_pb2.PromptTarget(
            server="git",
            name=name,
            arguments_json=json.dumps(arguments).encode() if arguments is not None else b"",
            definition_json=json.dumps(definition).encode() if definition else b"",
        )
    )


def resource(uri: str, of: str = "", arguments: Any = None) -> types_pb2.Target:
    definition = RESOURCES.get(of or uri)
    return types_pb2.Target(
        resource=types_pb2.ResourceTarget(
            server="git",
            uri=uri,
            arguments_json=json.dumps(arguments).encode() if arguments is not None else b"",
            definition_json=json.dumps(definition).encode() if definition else b"",
        )
    )


def decided(server: Served, method: str, target: types_pb2.Target, person: Any = ALICE) -> tuple[int, set[str], Any]:
    answer = server.decide(asks(method, target, server.person(person)))
    return answer.effect, {reason.code for reason in answer.reasons}, server.record(answer.decision_id)


@for_each(
    ("method", "target", "key"),
    [
        ("prompts/get", prompt("summary", {"path": "/src"}), "prompt:summary"),
        ("completion/complete", prompt("summary", {}), "prompt:summary"),
        ("resources/read", resource("file:///readme"), "resource:file:///readme"),
        ("resources/subscribe", resource("file:///readme"), "resource:file:///readme"),
        ("resources/unsubscribe", resource("file:///readme"), "resource:file:///readme"),
        ("resources/read", resource("notes://public-a", "notes://{name}"), "resource:notes://{name}"),
        ("completion/complete", resource("notes://{name}", arguments={"name": "public-"}), "resource:notes://{name}"),
    ],
)
def test_what_is_granted_is_allowed_and_recorded(server: Served, method: str, target: Any, key: str) -> None:
    effect, _, record = decided(server, method, target)
    assert effect == ALLOW
    assert (record["method"], record["target"]["key"]) == (method, key)
    assert record["target"]["kind"] == key.partition(":")[0]


@for_each(
    ("method", "target", "code"),
    [
        ("prompts/get", prompt("summary", {}), "arguments.schema"),
        ("prompts/get", prompt("summary", {"path": 1}), "arguments.schema"),
        ("prompts/get", prompt("summary", {"path": "/", "more": "x"}), "arguments.schema"),
        ("completion/complete", prompt("summary", {"more": "x"}), "arguments.schema"),
        ("prompts/get", prompt("summary", {"path": "a\u200bb"}), "arguments.hidden_unicode"),
        ("prompts/get", prompt("git_status", shown=TOOLS["git_status"]), "target.unknown"),
        ("prompts/get", prompt("summary", {"path": "/"}, {**PROMPTS["summary"], "title": "x"}), "target.drifted"),
        ("prompts/get", prompt("summary", {"path": "/"}, None), "target.not_presented"),
        ("prompts/list", prompt("summary", {"path": "/"}), "target.unsupported"),
        ("tools/call", prompt("summary", {"path": "/"}), "target.unsupported"),
        ("tools/call", resource("file:///readme"), "target.unsupported"),
        ("resources/read", prompt("summary", {"path": "/"}), "target.unsupported"),
        ("resources/delete", resource("file:///readme"), "target.unsupported"),
        ("resources/read", resource("file:///etc/passwd"), "target.unknown"),
        ("resources/read", resource("file:///readme/../../etc"), "target.unknown"),
        ("resources/read", resource("FILE:///readme"), "target.unknown"),
        ("resources/read", resource("notes://a%2Fb", "notes://{name}"), "target.unknown"),
        ("resources/read", resource("notes://{name}"), "target.malformed"),
        ("completion/complete", resource("notes://public-a", "notes://{name}"), "target.malformed"),
        ("resources/read", resource("notes://salaries", "notes://{name}"), "acme.notes.private"),
        ("completion/complete", resource("notes://{name}"), "acme.notes.private"),
    ],
)
def test_what_is_not_exactly_that_is_denied(server: Served, method: str, target: Any, code: str) -> None:
    effect, codes, record = decided(server, method, target)
    assert effect == DENY
    assert code in codes
    assert record["effect"] == "deny"


def test_a_method_of_prompts_with_the_target_of_a_tool_is_denied(server: Served) -> None:
    tool = types_pb2.ToolTarget(
        server="git",
        name="git_status",
        arguments_json=b"{}",
        definition_json=json.dumps(TOOLS["git_status"]).encode(),
    )
    for method in ("prompts/get", "resources/read", "completion/complete"):
        assert decided(server, method, types_pb2.Target(tool=tool))[1] >= {"target.unsupported"}


def test_arguments_of_a_uri_come_from_the_uri_alone(server: Served) -> None:
    with pytest.raises(Refused, match=r"target\.resource\.arguments_json"):
        decided(server, "resources/read", resource("notes://salaries", "notes://{name}", {"name": "public-a"}))


def test_who_has_no_role_reads_nothing(server: Served) -> None:
    stranger = type(ALICE)("zoe", ("guests",), ("git:read",))
    assert "policy.not_granted" in decided(server, "resources/read", resource("file:///readme"), stranger)[1]


def test_a_pending_prompt_is_one_call_of_one_method(server: Served) -> None:
    def digest(method: str, target: types_pb2.Target, effect: int = PENDING) -> str:
        answer = server.decide(asks(method, target, server.alice()))
        assert answer.effect == effect, answer
        return str(answer.call_digest)

    got = digest("prompts/get", prompt("rewrite", {"path": "/"}))
    assert got
    assert digest("prompts/get", prompt("rewrite", {"path": "/"})) == got
    read = digest("resources/read", resource("file:///plans"))
    others = {
        digest("completion/complete", prompt("rewrite", {"path": "/"})),
        digest("prompts/get", prompt("rewrite", {"path": "/b"})),
        digest("resources/subscribe", resource("file:///plans")),
    }
    assert len({got, read, *others}) == 5


@for_each(
    ("method", "names"),
    [
        ("prompts/list", {"summary", "rewrite"}),
        ("resources/list", {"file:///readme", "file:///plans"}),
        ("resources/templates/list", {"notes://{name}"}),
        ("tools/list", set(TOOLS)),
        ("", set(TOOLS)),
    ],
)
def test_lists_show_what_is_granted_of_their_own_kind(server: Served, method: str, names: set[str]) -> None:
    listed = server.filter(method=method)
    assert {tool.name for tool in listed.tools} == names
    shown = [json.dumps(one).encode() for kind, one in OTHERS if kind == "prompt"]
    if method == "prompts/list":
        assert {tool.name for tool in server.filter(method=method, definitions_json=shown).tools} == names
        for tool in listed.tools:
            assert json.loads(tool.definition_json) == PROMPTS[tool.name]
        bob = server.filter(method=method, bearer=server.person(BOB))
        assert {tool.name for tool in bob.tools} == {"summary"}
        assert {(h.name, h.reasons[0].code) for h in bob.hidden} == {("rewrite", "scope.missing")} or bob.hidden
    record = server.record(listed.decision_id)
    assert record["visible"]["count"] == len(names)


def test_what_drifted_or_is_unknown_is_not_listed(server: Served) -> None:
    shown = [{**PROMPTS["summary"], "description": "Other."}, {"name": "new"}, PROMPTS["rewrite"]]
    listed = server.filter(method="prompts/list", definitions_json=[json.dumps(one).encode() for one in shown])
    assert [tool.name for tool in listed.tools] == ["rewrite"]
    assert {(h.name, h.reasons[0].code) for h in listed.hidden} == {
        ("summary", "target.drifted"),
        ("new", "target.unknown"),
    }
    crossed = server.filter(
        method="resources/list", definitions_json=[json.dumps({"uri": "notes://{name}"}).encode()]
    )
    assert not crossed.tools
    with pytest.raises(Refused, match="needs a uri of its own"):
        server.filter(method="resources/list", definitions_json=[json.dumps(RESOURCES["notes://{name}"]).encode()])


@for_each("method", ["tasks/list", "prompts/get", "resources/subscribe"])
def test_another_list_is_denied(server: Served, method: str) -> None:
    listed = server.filter(method=method)
    assert (listed.effect, listed.reasons[0].code) == (DENY, "target.unsupported")


def test_a_switch_of_a_prompt_stops_it_and_no_tool(server: Served) -> None:
    scope = admin_pb2.SWITCH_SCOPE_TOOL
    with pytest.raises(Refused):
        server.switch(engaged=True, scope=scope, server="git", value="prompt:sumary")
    server.switch(engaged=True, scope=scope, server="git", value="prompt:summary")
    try:
        assert decided(server, "prompts/get", prompt("summary", {"path": "/"}))[1] >= {"switch.tool"}
        assert server.decide(tool="git_status").effect == ALLOW
        assert {tool.name for tool in server.filter(method="prompts/list").tools} == {"rewrite"}
    finally:
        server.switch(engaged=False, scope=scope, server="git", value="prompt:summary")
