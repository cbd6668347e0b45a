"""What may be evaluated again, and what counts as a difference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from support.for_each import for_each

from pdp.core.bytes.digest import canonical, commitment
from pdp.core.outcome import Effect, Outcome, Reason
from pdp.core.outcome.difference import Answer, Difference
from pdp.decide.comparison import ComparedCall, opened

SALT = bytes(range(32))
DOCUMENT: dict[str, Any] = {
    "time": {"ns": 7},
    "caller": {"name": "gateway", "tenant": "acme"},
    "call": {"method": "tools/call", "digest": "d"},
    "server": {"id": "git"},
    "targets": [{"key": "tool:git_status"}],
    "policy": {"revision": "r"},
}
RECORD: dict[str, Any] = {
    "kind": "decision",
    "id": "x",
    "time_ns": 7,
    "tenant": "acme",
    "caller": "gateway",
    "method": "tools/call",
    "call_digest": "d",
    "server": {"id": "git"},
    "target": {"key": "tool:git_status", "name": "git_status"},
    "subject": {"id": None},
    "policy": {"revision": "r", "digest": "p"},
    "arguments": {"commitment": commitment(SALT, "arguments", b"{}")},
    "effect": "allow",
    "decided_by": "policy",
    "reasons": [{"code": "a", "rule": "packs.x.allow"}],
    "requirements": [],
    "obligations": [{"kind": "redact", "code": "o"}],
}
ALLOW = Outcome(Effect.ALLOW, (Reason("a", rule="packs.x.allow"),), obligations=({"kind": "redact", "code": "o"},))


def given(document: Mapping[str, Any], **record: Any) -> ComparedCall:
    """What comes of a record that is committed to this document."""
    data = canonical(document)
    values = {"input": (SALT, data), "arguments": (SALT, b"{}")}
    return opened({**RECORD, "input": commitment(SALT, "input", data), **record}, values)


def test_a_document_of_the_recorded_call() -> None:
    call = given(DOCUMENT)
    assert (json.loads(call.document), call.problem) == (DOCUMENT, "")


@for_each(
    ("path", "value"),
    [
        ("time/ns", 8),
        ("caller/name", "other"),
        ("caller/tenant", "globex"),
        ("call/method", "prompts/get"),
        ("call/digest", "e"),
        ("server/id", "mail"),
        ("targets/0/key", "tool:git_reset"),
        ("policy/revision", "s"),
    ],
)
def test_a_document_of_another_call(path: str, value: Any) -> None:
    other = json.loads(canonical(DOCUMENT))
    place: Any = other
    *steps, last = path.split("/")
    for step in steps:
        place = place[int(step)] if step.isdecimal() else place[step]
    assert place[last] != value
    place[last] = value
    assert given(other).problem == "replay.other"


def test_what_there_is_nothing_to_evaluate_of() -> None:
    assert given(DOCUMENT, kind="list").problem == "replay.kind"
    assert opened({**RECORD, "input": "c"}, {}).problem == "replay.erased"
    nothing = {**RECORD, "input": commitment(SALT, "input", b"")}
    assert opened(nothing, {"input": (SALT, b"")}).problem == "replay.no_input"
    assert opened({**RECORD, "input": None}, {"input": (SALT, b"{}")}).problem == "replay.no_input"


def test_what_the_service_denied() -> None:
    reasons = [{"code": "policy.timeout", "rule": "service"}]
    assert ComparedCall({**RECORD, "decided_by": "service", "reasons": reasons}).by_service
    unsupported = [{"code": "obligation.unsupported", "rule": "service"}]
    assert not ComparedCall({**RECORD, "decided_by": "service", "reasons": unsupported}).by_service
    assert not ComparedCall(RECORD).by_service


@for_each(
    "change",
    [
        {"effect": "deny"},
        {"reasons": [{"code": "b", "rule": "packs.x.allow"}]},
        {"reasons": [{"code": "a", "rule": "packs.y.allow"}]},
        {"requirements": [{"kind": "approval", "id": "i"}]},
        {"obligations": []},
        {"obligations": [{"kind": "redact", "code": "p"}]},
    ],
)
def test_differences(change: Mapping[str, Any]) -> None:
    answer = Answer.of(ALLOW)
    assert answer == Answer.recorded(RECORD)
    assert Difference.between(RECORD, answer, answer) is None
    difference = Difference.between(RECORD, answer, Answer.recorded({**RECORD, **change}))
    assert difference is not None
    assert difference.part == next(iter(change))
