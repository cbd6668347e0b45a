"""The demo's questions, and the answers they must get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from devtools.sandbox import ALICE, BOB, SandboxPerson
from pdp.client import Decision, Reason


@dataclass(frozen=True, slots=True)
class Scene:
    """One call. `code` must be among the answer's reasons; `{repo}` in an argument is the scratch repository."""

    title: str
    who: SandboxPerson
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
    Scene("an auditor stages files", BOB, "git_add", "deny", "policy.not_granted",
          {"files": ["greeting.txt"]}),
    Scene("text where the schema wants a number", ALICE, "git_log", "deny", "arguments.schema",
          {"max_count": "all"}),
    Scene("more commits than Acme allows", ALICE, "git_log", "deny", "acme.log.max_count", {"max_count": 5000}),
    Scene("a token in the commit message", ALICE, "git_commit", "deny", "arguments.secret",
          {"message": f"use {_SECRET}"}),
    Scene("an option that writes, as a revision", ALICE, "git_show", "deny", "arguments.injection",
          {"revision": "--output=/etc/cron.d/x"}),
    Scene("a file from outside of the repository", ALICE, "git_add", "deny", "arguments.injection",
          {"files": ["../../../.kube/config"]}),
    Scene("throw staged work away", ALICE, "git_reset", "pending", "annotations.destructive"),
    Scene("the tool's description was changed", ALICE, "git_status", "deny", "tool.drifted", drifted=True),
    Scene("an expired token", ALICE, "git_status", "deny", "subject.expired", expired=True),
)  # fmt: skip

LISTS: Mapping[SandboxPerson, frozenset[str] | None] = {
    ALICE: None,  # everything that the server has
    BOB: frozenset({"git_status", "git_log", "git_diff", "git_show"}),
}


ACT = "approve"  # the effect of a row that is no answer, but what people do


@dataclass(frozen=True, slots=True)
class SceneRow:
    """One line of the page. `ok` is whether the answer was the expected one; `note` is shown below its act."""

    what: str
    who: str
    call: str
    effect: str
    why: str
    rule: str
    record: str
    ran: str
    ok: bool
    note: str = ""


def row_of(scene: Scene, decision: Decision, *, ran: str = "-") -> SceneRow:
    """The row of a scene. `ran` is whether the call was carried out: "-", "yes" or "failed"."""
    found = next((r for r in decision.reasons if r.code == scene.code), None)
    ok = decision.effect == scene.effect and found is not None and ran in ("-", "yes")
    shown = found or (decision.reasons[0] if decision.reasons else Reason("", "no reason was given"))
    record = str(decision.record.index) if decision.record else "-"
    call = call_of(scene.tool, scene.arguments)
    return SceneRow(scene.title, scene.who.id, call, decision.effect, shown.code, shown.rule, record, ran, ok)


def call_of(tool: str, arguments: Mapping[str, Any]) -> str:
    """A call in words."""
    return f"{tool}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
