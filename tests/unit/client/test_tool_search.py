"""Tool search on the wire: what a result shows, and which call is meant."""

import json
from typing import Any

import pytest
from support.for_each import for_each

from pdp.core.caller.mcp_answers import CallParameters, NotACallError
from pdp.core.caller.tool_search import ToolSearch, UnreadableResultError, found, without

A: dict[str, Any] = {"name": "a", "inputSchema": {}}
B: dict[str, Any] = {"name": "b", "inputSchema": {}, "description": "Server's."}


def result(*tools: Any, text: Any = None, **more: Any) -> dict[str, Any]:
    """A result as FastMCP writes it; `text` has the text say something else."""
    said = list(tools) if text is None else text
    content = [{"type": "text", "text": said if isinstance(said, str) else json.dumps(said)}]
    return {"content": content, "structuredContent": {"result": list(tools)}, **more}


def test_a_result_is_a_list_of_tools_in_one_or_both_forms() -> None:
    both = result(A, B)
    assert found(both) == found({**both, "structuredContent": None}) == found({**both, "content": []}) == [A, B]
    assert found({"content": []}) == []
    assert found(result(A, isError=True)) == []  # what a failed search says is an error's text


@for_each(
    "broken",
    [
        result(A, text=[A, B]),  # the two forms say different things
        result(A, text="### a"),
        result(A, text="No tools matched the query."),
        result(A, A),
        result({"name": "a"}),
        result({"name": 3, "inputSchema": {}}),
        result("a"),
        result(A) | {"structuredContent": {"tools": [A]}},
        result(A) | {"structuredContent": [A]},
        result(A) | {"content": [{"type": "resource", "resource": {"uri": "x:y", "text": "[]"}}]},
        result(A) | {"content": ["a"]},
    ],
)
def test_what_is_no_such_list_cannot_be_filtered(broken: dict[str, Any]) -> None:
    with pytest.raises(UnreadableResultError):
        found(broken)


def test_what_is_shown_has_the_definition_of_the_decision_point() -> None:
    beside = {"_meta": {"tools": [A]}, "Tools": [A], "StructuredContent": {"result": [A]}, "resultType": "complete"}
    kept = without(result(A, B) | beside, [A, B], {"b": b'{"name":"b","inputSchema":{}}'})
    assert set(kept) - {"isError"} == {"content", "structuredContent", "resultType", "_meta"}
    assert kept["_meta"] == {"fastmcp": {"wrap_result": True}}
    assert kept["structuredContent"] == {"result": [{"name": "b", "inputSchema": {}}]}
    assert json.loads(kept["content"][0]["text"]) == [{"name": "b", "inputSchema": {}}]
    assert "structuredContent" not in without({"content": result(A)["content"]}, [A], {})


def test_the_call_that_is_meant() -> None:
    search = ToolSearch()
    meant = search.meant(CallParameters("call_tool", {"name": "a", "arguments": {"x": 1}}, {}))
    assert meant == CallParameters("a", {"x": 1}, {})
    assert search.meant(CallParameters("call_tool", {"name": "a"}, {})) == CallParameters("a", {}, {})
    assert search.meant(CallParameters("a", {"name": "b"}, {})) is None
    wrong: list[dict[str, Any]] = [
        {},
        {"name": ""},
        {"name": 3},
        {"name": "call_tool"},
        {"name": "a", "arguments": "{}"},
    ]
    for arguments in wrong:
        with pytest.raises(NotACallError):
            search.meant(CallParameters("call_tool", arguments, {}))
