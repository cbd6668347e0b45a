"""What a search for changes may cost, and what an explanation does not show, with a made-up engine."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from support.for_each import for_each

from pdp.core.errors import EngineFault
from pdp.core.outcome import Effect, Outcome, Reason, denied, explain
from pdp.core.outcome.answer import PolicyRef
from pdp.core.outcome.changes import FactChange, SearchResult
from pdp.core.outcome.elements import EngineQuery
from pdp.core.outcome.explain import FiredRule, RequirementStory
from pdp.core.outcome.policy import Bundle, Module
from pdp.core.ports import LoadedPolicy
from pdp.decide.explain import (
    SEARCH_BYTES,
    TOGETHER_BYTES,
    ExplainedCase,
    Explanation,
    _without_secrets,
    search,
)

TOKEN = "ghp_" + "a" * 36
OK = {"status": "ok", "code": ""}
NO = {
    "effect": "deny",
    "reasons": [{"code": "no", "message": "", "rule": "packs.a.deny", "control": ""}],
    "requirements": [],
    "obligations": [],
    "visible": [],
    "hidden": [],
    "waived": [],
}


class Deny:
    """Denies everything, and counts how much is asked at once. After `fail` answers it fails."""

    name = "stub"
    version = "stub/1"

    def __init__(self, fail: int = -1) -> None:
        self.fail = fail
        self.asked = self.now = self.most = self.bytes = 0

    async def evaluate(self, asked: EngineQuery) -> bytes:
        self.asked += 1
        place = self.asked
        self.bytes += len(asked.document)
        self.now += len(asked.document)
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= len(asked.document)
        if place > self.fail >= 0:
            raise EngineFault("policy.timeout", "too slow")
        return json.dumps(NO).encode()

    async def close(self) -> None:
        """Nothing."""


def case(engine: Deny, size: int) -> tuple[ExplainedCase, dict[str, Any]]:
    """A denied call with so many characters in its arguments, and with many numbers that might be other."""
    document = {
        "schema": "pdp.input/1",
        "phase": "call",
        "time": {"ns": 1},
        "policy": {"packs": ["a"]},
        "caller": {},
        "agent": {},
        "server": {"id": "s"},
        "judge": {"prompts": {}},
        "waivers": [],
        "checks": {"subject": OK},
        "call_checks": {},
        "subject": {"source": "verified", "kind": "human", "groups": [], "scopes": []},
        "actors": [],
        "targets": [],
        "call": {"digest": "d"},
        "arguments": {"value": {"text": "x" * size, **{f"n{i}": 7 for i in range(200)}}, "findings": []},
        "session": {"task_source": "none", "labels": [], "calls": 0, "denials": 0},
        "evidence": [],
        "asserted": {"observation": None},
    }
    policy = LoadedPolicy("r", "d" * 64, "o", ("a",), engine, lambda _: True, lambda _: True, b"")
    return ExplainedCase(policy, json.dumps(document).encode(), denied("no"), None), document


BUNDLE = Bundle((Module("packs/a/a.rego", "x if input.n > 9"),), b'{"limits": [1, 2, 3]}', b"{}", b"{}", "r", ("a",))


@for_each("size", [0, 250_000])
async def test_a_search_is_bounded_by_what_it_weighs(size: int) -> None:
    engine, failures = Deny(), list[Outcome]()
    asked, document = case(engine, size)
    found = await search(asked, document, BUNDLE, failures.append)
    assert (found.sets, found.incomplete, found.evaluations) == ((), True, engine.asked)
    assert engine.asked == (600 if size == 0 else SEARCH_BYTES // len(asked.document))
    assert engine.bytes <= SEARCH_BYTES + 600 * 100  # a change makes a document a little longer
    assert engine.most <= TOGETHER_BYTES + 100_000


async def test_a_search_ends_with_the_first_that_fails() -> None:
    """It must not cost a worker for each of what is left."""
    engine, failures = Deny(fail=3), list[Outcome]()
    asked, document = case(engine, 250_000)
    found = await search(asked, document, BUNDLE, failures.append)
    assert (found.sets, found.incomplete, found.evaluations) == ((), True, engine.asked)
    assert engine.asked <= 4
    assert [outcome.reasons[0].code for outcome in failures] == ["policy.timeout"]


def test_nothing_that_quotes_an_argument_shows_a_credential() -> None:
    element = {"code": "x", "message": f"{TOKEN} may not leave"}
    made = Explanation(
        outcome=Outcome(Effect.DENY, (Reason("x", f"{TOKEN} may not leave", "packs.a.deny"),)),
        facts=(),
        rules=(FiredRule("a", "deny", "x", "packs/a/a.rego", 1, element),),
        requirements=(RequirementStory({**element, "kind": "judge"}, "open", "why"),),
        changes=SearchResult(
            ((FactChange(f"/arguments/value/{TOKEN}", TOKEN, [TOKEN]),),), incomplete=False, evaluations=1
        ),
        policy=PolicyRef("r", "d", "e"),
        evaluated_ns=1,
        digest="",
    )
    shown = _without_secrets(made)
    assert TOKEN not in repr(shown)
    assert explain.WITHHELD in shown.outcome.reasons[0].message
    assert shown.rules[0].element["code"] == "x"
    assert (shown.outcome.effect, shown.rules[0].line) == (Effect.DENY, 1)
