"""Hooks' answers as coding agents take them."""

from __future__ import annotations

import json


def taken(code: int, output: str, error: str = "") -> tuple[int, str, str, str]:
    """Exit code, standard output, what the model is told, and what the user alone is. A block that is said as JSON is
    the one of exit code 2."""
    said = json.loads(output) if code == 0 and output else {}
    claude = said.get("hookSpecificOutput", {})
    if claude.get("permissionDecision") == "deny":
        return 2, "", claude["permissionDecisionReason"], said["systemMessage"]
    if said.get("decision") == "deny":
        return 2, "", said["reason"], said["systemMessage"]
    if said.get("permission") == "deny":
        return 2, "", said["agent_message"], said["user_message"]
    return code, output, error, ""
