"""An SDK's tool object, presented as the server sent it."""

from __future__ import annotations

import json
from typing import Any

import mcp_types
import pytest
from support.for_each import for_each

from pdp.client import ToolCall, presented

TOOL: dict[str, Any] = {
    "name": "read_file",
    "title": None,
    "description": "Liest “Dateien”\u200b",
    "inputSchema": {
        "type": "object",
        "properties": {"path": {"type": "string", "default": None}, "read_only": {"type": "number", "minimum": 1e-7}},
        "additionalProperties": False,
    },
    "annotations": {"readOnlyHint": True, "openWorldHint": False},
    "_meta": {"vendor": {"a": None}},
}


def test_by_the_names_of_the_wire_and_nothing_else() -> None:
    read = mcp_types.ListToolsResult.model_validate({"tools": [TOOL]}).tools[0]
    assert json.loads(presented(read)) == TOOL
    bare = mcp_types.Tool.model_validate({"name": "x", "inputSchema": {}})
    assert presented(bare) == b'{"name":"x","inputSchema":{}}'


def test_it_is_what_a_call_presents(ask: Any, scripted: Any, target: Any) -> None:
    read = mcp_types.Tool.model_validate(TOOL)
    assert ask.decide(target, ToolCall("fs", "read_file", {}, definition=presented(read))).allowed
    assert json.loads(scripted.requests[0].target.tool.definition_json) == TOOL


@for_each("wrong", [TOOL, b"{}", "read_file", None])
def test_what_is_no_object_of_an_sdk(wrong: Any) -> None:
    with pytest.raises(TypeError, match="tool"):
        presented(wrong)


def test_an_object_that_was_not_presented_says_how(ask: Any, target: Any) -> None:
    wrong: Any = mcp_types.Tool.model_validate(TOOL)
    found = ask.decide(target, ToolCall("fs", "read_file", {}, definition=wrong))
    assert (found.code, found.allowed) == ("client.request", False)
    assert "presented" in found.reasons[0].message
