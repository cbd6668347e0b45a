"""The demo's questions, and the answers they must get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdp.authoring.sandbox import ALICE, BOB, Person


@dataclass(frozen=True, slots=True)
class Scene:
    """One call. `code` must be among the answer's reasons; `{repo}` in an argument is the scratch repository."""

    title: str
    who: Person
    tool: str
    effect: str
    code: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    expired: bool = False  # the token is an hour too old
    drifted: bool = False  # the server's description was changed after pinning


_SECRET = "ghp_" + "x7Q2" * 9  # made up, in the form of a GitHub token

CALLS: tuple[Scene, ...] = (
    Scene("read the status", ALICE, "git_status", "allow", "acme.role"),
    Scene("read three commits", ALICE, "git_log", "allow", "acme.role", {"max_count": 3}),
    Scene("see what changed", ALICE, "git_diff_unstaged", "allow", "acme.role"),
    Scene("an auditor stages files: no right to it", BOB, "git_add", "deny", "policy.not_granted",
          {"files": ["greeting.txt"]}),
    Scene("text where the schema wants a number", ALICE, "git_log", "deny", "arguments.schema",
          {"max_count": "all"}),
    Scene("more commits than Acme allows", ALICE, "git_log", "deny", "acme.log.max_count", {"max_count": 5000}),
    Scene("a token in the commit message", ALICE, "git_commit", "deny", "arguments.secret",
          {"message": f"use {_SECRET}"}),
    Scene("throw staged work away", ALICE, "git_reset", "pending", "annotations.destructive"),
    Scene("the tool's description was changed", ALICE, "git_status", "deny", "tool.drifted", drifted=True),
    Scene("an expired token", ALICE, "git_status", "deny", "subject.expired", expired=True),
)  # fmt: skip

LISTS: Mapping[Person, frozenset[str] | None] = {
    ALICE: None,  # everything that the server has
    BOB: frozenset({"git_status", "git_log", "git_diff", "git_show"}),
}
