"""The loop: facts, Rego, evidence for the opened stage, Rego again."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

import pytest
from support.facts import bare_call, good_target
from support.for_each import for_each
from support.kinds import kind_of

from pdp.core.approvals.call import CallContext
from pdp.core.call.facts import ArgumentsFact, Facts
from pdp.core.call.request import Ask, Caller, NoCredential, SessionAsk, ToolTarget
from pdp.core.call.stored import CallKeys, StoredCall
from pdp.core.call.switches import Switches
from pdp.core.check import failed
from pdp.core.errors import EngineFault, Overloaded
from pdp.core.outcome import Effect
from pdp.core.outcome.evidence import SourcedEvidence
from pdp.core.ports import LoadedPolicy
from pdp.core.rows.approvals import Account, Call
from pdp.decide.decision import Decision
from pdp.decide.evaluate import MAX_ROUNDS, evaluate, settle
from pdp.decide.state import Snapshot

T = 1_800_000_000_000_000_000
KEY = "tool:git_status"


def facts(call_digest: str = "c" * 64, **changes: Any) -> Facts:
    return bare_call(call_digest=call_digest, targets=(good_target("git_status"),), **changes)


def about(made: Facts) -> CallContext:
    call = Call(made.call_digest, Account("https://idp", "alice"), (), "a", "gw", "s", "git", "git_status", "m")
    return CallContext("acme", call, "index", "subject", b"{}", made, CallKeys("acme", 0, 0), StoredCall())


def requirement(stage: int) -> dict[str, Any]:
    return {
        "kind": "approval",
        "id": f"need-{stage}",
        "code": f"need.{stage}",
        "control": "",
        "stage": stage,
        "ttl_seconds": 60,
        "pack": "acme",
    }


def decision(effect: str, *wanted: Mapping[str, Any], code: str = "x", rule: str = "r") -> bytes:
    reason = {"code": code, "message": "as policy puts it", "rule": rule, "control": ""}
    found = {
        "effect": effect,
        "reasons": [reason],
        "requirements": list(wanted),
        "obligations": [],
        "visible": [KEY],
        "hidden": [],
        "waived": [],
    }
    return json.dumps(found).encode()


class Staged:
    """An engine that wants `stages` answers, one after the other."""

    name, version = "test", "test/1"

    def __init__(self, stages: int = 0, answer: bytes | BaseException | None = None) -> None:
        self.stages = stages
        self.answer = answer
        self.asked: list[Any] = []

    async def evaluate(self, asked: Any) -> bytes:
        self.asked.append(json.loads(asked.document))
        if isinstance(self.answer, BaseException):
            raise self.answer
        if self.answer is not None:
            return self.answer
        met = len(self.asked[-1]["evidence"])
        return decision("allow") if met >= self.stages else decision("pending", requirement(met + 1))

    async def close(self) -> None:
        pass


class Answers:
    """Answers the opened stage until `limit` answers were given."""

    def __init__(self, limit: int = 1000, known: int = 0) -> None:
        self.limit, self.given, self._known = limit, 0, known
        self.opened: list[str] = []

    async def known(self, asked: CallContext, _at_ns: int, /) -> tuple[SourcedEvidence, ...]:
        return tuple(self._one(asked, requirement(i + 1)) for i in range(self._known))

    async def gather(
        self, asked: CallContext, opened: tuple[Any, ...], _at_ns: int, /
    ) -> tuple[SourcedEvidence, ...]:
        self.opened += [str(r["id"]) for r in opened]
        if self.given >= self.limit:
            return ()
        self.given += 1
        return tuple(self._one(asked, dict(r)) for r in opened)

    @staticmethod
    def _one(asked: CallContext, wanted: Any) -> SourcedEvidence:
        made = {"for": wanted, "call": asked.call.digest, "kind": "approval", "state": "met", "expires_ns": T + 1}
        return SourcedEvidence(made)


def policy(engine: Any) -> LoadedPolicy:
    return LoadedPolicy("r", "d" * 64, "o", ("acme",), engine, lambda _: True, lambda _: True, b"{}")


async def run(engine: Staged, source: Answers, made: Facts | None = None) -> Decision:
    facts_made = made or facts()
    ask = Ask("", "", "tools/call", ToolTarget("git", "git_status", None, "", b"{}"), NoCredential(), SessionAsk())
    caller = Caller("gw", "acme", frozenset(), frozenset({"*"}))
    registry: Any = None  # is not looked at
    found = Decision(ask, kind_of(ask, caller, facts_made), Snapshot(policy(engine), registry, Switches()), T)
    found.facts, found.call = facts_made, about(facts_made) if facts_made.call_digest else None
    await settle(found, source)
    return found


async def test_stages_are_answered_one_after_the_other() -> None:
    engine, source = Staged(3), Answers()
    found = await run(engine, source)
    assert found.outcome.effect is Effect.ALLOW
    assert source.opened == ["need-1", "need-2", "need-3"]
    assert [len(asked["evidence"]) for asked in engine.asked] == [0, 1, 2, 3]
    assert len(found.evidence) == 3


async def test_what_cannot_be_answered_at_once_is_pending() -> None:
    engine, source = Staged(3), Answers(limit=1)
    found = await run(engine, source)
    assert found.outcome.effect is Effect.PENDING
    assert [r["id"] for r in found.outcome.requirements] == ["need-2"]
    assert source.opened == ["need-1", "need-2"]


async def test_what_is_known_is_given_at_once() -> None:
    engine, source = Staged(2), Answers(known=2)
    assert (await run(engine, source)).outcome.effect is Effect.ALLOW
    assert len(engine.asked) == 1
    assert source.opened == []


async def test_it_ends() -> None:
    engine, source = Staged(1000), Answers()
    found = await run(engine, source)
    assert found.outcome.effect is Effect.PENDING
    assert len(engine.asked) == MAX_ROUNDS + 1


async def test_a_call_without_a_digest_is_asked_about_nobody() -> None:
    engine, source = Staged(1), Answers(known=1)
    found = await run(engine, source, facts(call_digest=""))
    assert found.outcome.effect is Effect.PENDING
    assert source.opened == []
    assert engine.asked[0]["evidence"] == []


async def test_a_denial_is_asked_about_nobody() -> None:
    source = Answers()
    found = await run(Staged(answer=decision("deny")), source)
    assert found.outcome.effect is Effect.DENY
    assert source.opened == []


async def test_a_fault_of_the_engine_denies_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    engine = Staged(answer=EngineFault("policy.error", "it failed", detail="pdp/x.rego:1:1"))
    with caplog.at_level(logging.ERROR, "pdp.policy"):
        outcome, _, _ = await evaluate(policy(engine), facts(), T)
    assert outcome.effect is Effect.DENY
    assert [(r.code, r.rule) for r in outcome.reasons] == [("policy.error", "service")]
    assert "pdp/x.rego:1:1" not in outcome.reasons[0].message
    assert "policy.error" in caplog.text
    assert "pdp/x.rego:1:1" in caplog.text


async def test_a_document_that_does_not_fit_its_schema_is_never_asked() -> None:
    engine = Staged()
    loaded = LoadedPolicy("r", "d" * 64, "o", ("acme",), engine, lambda _: False, lambda _: False, b"{}")
    outcome, document, answer = await evaluate(loaded, facts(), T)
    assert [r.code for r in outcome.reasons] == ["policy.input"]
    assert engine.asked == []
    assert (document, answer) == (b"", b"")


async def test_overload_is_no_answer() -> None:
    with pytest.raises(Overloaded):
        await evaluate(policy(Staged(answer=Overloaded("overload.policy", "full"))), facts(), T)


WHY = "The arguments break the pinned schema at /a: keyword `type`."


@for_each(
    ("code", "rule", "message"),
    [
        ("arguments.schema", "pdp.gate", WHY),
        ("arguments.schema", "packs.acme.deny", "as policy puts it"),  # a pack's own words stay
        ("session.unknown", "pdp.gate", "as policy puts it"),  # no such check failed
    ],
)
async def test_the_gate_says_what_the_failed_check_says(code: str, rule: str, message: str) -> None:
    made = facts(arguments=ArgumentsFact(failed("arguments.schema", WHY)))
    outcome, _, _ = await evaluate(policy(Staged(answer=decision("deny", code=code, rule=rule))), made, T)
    assert [r.message for r in outcome.reasons] == [message]
