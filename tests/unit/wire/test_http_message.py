"""The MCP message that a gateway shows: what two readers could understand differently is refused."""

import json
from typing import Any

import pytest
from support.for_each import for_each
from support.gateways import HANDSHAKE, MODERN, call, check, message

from pdp.vendored import ext_authz_pb2
from pdp.wire.gateways.http_message import HttpRequest, Malformed, McpMessage, http_request, mcp_message

MAX = 262_144


def read(request: ext_authz_pb2.CheckRequest) -> McpMessage:
    return mcp_message(http_request(request.attributes), MAX)


def refused(request: ext_authz_pb2.CheckRequest) -> Malformed:
    with pytest.raises(Malformed) as caught:
        read(request)
    return caught.value


def test_a_call_of_either_era_is_read() -> None:
    arguments = {"repo_path": "/src", "n": 3}
    found = read(check(call(arguments=arguments)))
    assert (found.id, found.method, found.version, found.capabilities) == (7, "tools/call", MODERN, {})
    assert found.params["arguments"] == arguments
    found = read(check(call(arguments=arguments, id_="a", version=HANDSHAKE)))
    assert (found.id, found.version, found.capabilities) == ("a", HANDSHAKE, None)
    found = read(check(message("initialize", {"protocolVersion": HANDSHAKE}, version="")))
    assert found.method == "initialize"


def test_text_and_bytes_are_the_same_body() -> None:
    body = call(arguments={"repo_path": "grün"})
    assert read(check(body, text=True)) == read(check(body))


def test_headers_of_a_list_are_those_of_a_map() -> None:
    body = call()
    request = check(body, bearer="t")
    http = request.attributes.request.http
    for key, value in http.headers.items():
        http.header_map.headers.add(key=key.title(), raw_value=value.encode())
    with pytest.raises(Malformed, match="both forms"):
        http_request(request.attributes)
    http.headers.clear()
    assert http_request(request.attributes).header("authorization") == "Bearer t"
    assert read(request).method == "tools/call"


@for_each(
    ("host", "name"),
    [("a.example", "a.example"), ("A.example:8443", "a.example"), ("[::1]:8443", "[::1]"), ("[::1]", "[::1]")],
)
def test_a_host_has_no_port(host: str, name: str) -> None:
    request = check(call(), path="/git/mcp?x=1")
    request.attributes.request.http.host = host
    found = http_request(request.attributes)
    assert (found.host, found.path) == (name, "/git/mcp")


BODIES: dict[str, Any] = {
    "nothing": b"",
    "a batch": [call(), call()],
    "a batch of one": [call()],
    "no JSON": b'{"jsonrpc": "2.0"',
    "two values": b"{} {}",
    "no UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff"}}',
    "a byte order mark": b"\xef\xbb\xbf" + json.dumps(call()).encode(),
    "a key twice": b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}',
    "a name twice": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
    "a lone surrogate": b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud800"}}',
    "another version": {**call(), "jsonrpc": "1.0"},
    "no version": {k: v for k, v in call().items() if k != "jsonrpc"},
    "no method": {k: v for k, v in call().items() if k != "method"},
    "an empty method": {**call(), "method": ""},
    "a method that is no text": {**call(), "method": 3},
    "an id of null": {**call(), "id": None},
    "an id of truth": {**call(), "id": True},
    "an id with a fraction": {**call(), "id": 1.5},
    "an id that is an object": {**call(), "id": {}},
    "a list of parameters": {**call(), "params": ["git_status"]},
    "a stranger among the members": {**call(), "Method": "tools/list"},
    "method and result": {**call(), "result": {}},
    "a list for _meta": {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"_meta": []}},
    "capabilities in a list": message("ping", {"_meta": {"io.modelcontextprotocol/clientCapabilities": []}}),
}


@for_each("what", BODIES)
def test_a_body_that_is_not_one_message_is_refused(what: str) -> None:
    refused(check(BODIES[what]))


def test_a_body_that_is_not_whole_is_refused() -> None:
    body = call()
    raw = len(json.dumps(body))
    for request in (
        check(body, size=-1),
        check(body, size=raw + 1),
        check(body, size=raw - 1),
        check(body, headers={"x-envoy-auth-partial-body": "true"}),
        check(body, headers={"x-envoy-auth-partial-body": "false,true"}),
    ):
        assert "is a part" in refused(request).message
    assert read(check(body, headers={"x-envoy-auth-partial-body": "false"})).id == 7


def test_a_body_over_the_limit_is_refused() -> None:
    assert "at most" in refused(check(call(arguments={"a": "x" * MAX}))).message


def test_what_a_gateway_made_readable_is_refused() -> None:
    """A gateway that shows text puts this character where there was none, and the server gets the bytes."""
    body = json.dumps(call(arguments={"a": "\N{REPLACEMENT CHARACTER}"}), ensure_ascii=False).encode()
    assert "pack_as_bytes" in refused(check(body, text=True)).message
    assert read(check({"jsonrpc": "2.0", "id": 1, "method": "ping"}, text=True)).method == "ping"


HEADERS = {
    "another type": {"content-type": "text/plain"},
    "no type": {"content-type": None},
    "two types": {"content-type": "application/json,application/json"},
    "another charset": {"content-type": "application/json; charset=utf-16"},
    "compressed": {"content-encoding": "gzip"},
    "another protocol": {"upgrade": "h2c"},
}


@for_each("what", HEADERS)
def test_a_body_in_another_form_is_refused(what: str) -> None:
    refused(check(call(), headers=HEADERS[what]))


@for_each(
    "headers",
    [
        {"mcp-method": "tools/list"},
        {"mcp-method": None},
        {"mcp-name": "git_reset"},
        {"mcp-name": None},
        {"mcp-name": "git_status,git_status"},
        {"mcp-protocol-version": HANDSHAKE},
        {"mcp-protocol-version": None},
        {"mcp-param-path": "/other"},
    ],
)
def test_a_header_that_says_something_else_is_refused(headers: dict[str, str | None]) -> None:
    found = refused(check(call(arguments={"path": "/src"}), headers=headers))
    assert (found.number, found.id) == (-32020, 7)


def test_a_notification_agrees_with_its_headers() -> None:
    body = message("notifications/cancelled")
    del body["id"]
    assert read(check(body)).version == MODERN
    for headers in ({"mcp-protocol-version": HANDSHAKE}, {"mcp-protocol-version": None}, {"mcp-method": "ping"}):
        assert refused(check(body, headers=headers)).number == -32020


def test_a_header_of_a_handshake_session_that_says_something_else_is_refused() -> None:
    body = call(version=HANDSHAKE)
    for headers in ({"mcp-method": "tools/list"}, {"mcp-name": "git_reset"}):
        assert refused(check(body, headers=headers)).number == -32020
    assert read(check(body, headers={"mcp-method": "tools/call", "mcp-name": "git_status"})).id == 7


def test_a_parameter_in_a_header_agrees_with_the_arguments() -> None:
    body = call(arguments={"path": "/src", "deep": [{"n": 3, "yes": True}]})
    for value in ("/src", "3", "true", "=?base64?L3NyYw==?="):
        assert read(check(body, headers={"mcp-param-path": value})).id == 7
    assert refused(check(body, headers={"mcp-param-path": "=?base64?!?="})).number == -32020


def test_an_envelope_is_complete() -> None:
    body = call()
    del body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert refused(check(body)).number == -32602
    assert refused(check(call(version=""), headers={"mcp-protocol-version": MODERN})).number == -32602
    body = call()
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2027-01-01"
    assert refused(check(body)).number == -32022


def test_copies_of_a_header_are_refused() -> None:
    request = HttpRequest("POST", "h", "/", {"authorization": ("Bearer a", "Bearer b")}, b"{}")
    with pytest.raises(Malformed, match="more than once"):
        mcp_message(request, MAX)


def test_an_answer_of_the_client_has_no_method() -> None:
    found = read(check({"jsonrpc": "2.0", "id": 3, "result": {}}))
    assert (found.id, found.method) == (3, "")
    refused(check({"jsonrpc": "2.0", "result": {}}))
