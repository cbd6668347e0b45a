"""A list is what may be called: random packs, tools and subjects, on both engines.

A listed tool is denied by no rule that rests on nothing which only a call has; a tool that is not listed is denied.
Three bundles here; `LISTS=100 python -m pytest tests/properties/test_lists.py` makes that many.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from drawn import NOON
from support.environment import SeededEntropy
from support.facts import good_call, good_target, list_of
from support.gate import with_listed
from support.outside import need

from pdp.core.call.facts import (
    Actor,
    Annotations,
    Asserted,
    Facts,
    TargetFact,
    Waiver,
    document,
)
from pdp.core.check import OK, Check
from pdp.core.outcome.elements import EngineQuery, decision_of
from pdp.core.outcome.policy import Bundle, Module
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.embedded.worker import EvaluationCaps, Evaluator
from pdp.policy.embedded.zygote import build
from pdp.policy.evaluation import Status
from pdp.policy.opa.engine import OpaHost
from pdp.policy.opa.options import OpaOptions

BUNDLES = int(os.environ.get("LISTS", "3"))
ASKED = 12  # lists of each bundle, each with a call of every tool in it
TOOLS = ("git_status", "git_log", "git_reset", "git_push", "git_add")
BASELINE = frozenset({"delegation.depth", "scope.missing"})
HELPERS = """
risky(risk) if risk in {"high", "critical"}
dear contains t.key if { some t in input.targets; t.cost > 6 }
staff if "developers" in input.subject.groups
late if often
often if input.session.calls > 100
"""
# conditions of a target; of everything else that lists have as well; of what only calls have
TARGET = (
    "t.risk_level >= 3",
    "t.cost > 4",
    't.name == "git_log"',
    "t.annotations.destructive == true",
    "not t.key in data.lib.targets.changing",
    "risky(t.risk)",
    "t.key in dear",
)
LISTED = (
    '"auditors" in input.subject.groups',
    'input.subject.kind != "human"',
    "input.time.minute_of_day < 600",
    "not staff",
)
CALLED = (
    "input.arguments.size > 50",
    "input.session.known == true",
    "data.lib.session.tainted",
    "input.call.people_refusals > 2",
    "is_string(input.asserted.task)",
    "late",
    "every l in input.session.labels { risky(l) }",
)
ABOUT = "some t in input.targets"


class Packs:
    """Random packs. The code of a denial says what it rests on: `.listed` or `.called`."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        texts = {name: self._pack(name) for name in ("one", "two")}
        shipped = read_bundle(shipped_rego(), None)
        modules = tuple(Module(f"packs/{name}/{name}.rego", text) for name, text in texts.items())
        packs = tuple(sorted((*shipped.packs, *texts)))
        self.bundle: Bundle = with_listed(replace(shipped, modules=(*shipped.modules, *modules), packs=packs))
        self.texts = texts

    def _pack(self, name: str) -> str:
        rules = [f'package packs.{name}\nmeta := {{"servers": ["git"], "owner": "o"}}\n{HELPERS}']
        rules += [self._rule(name, number) for number in range(self.random.randint(4, 9))]
        return "\n".join((*rules, f'allow contains {{"target": t.key, "code": "{name}.all"}} if {ABOUT}\n'))

    def _rule(self, pack: str, number: int) -> str:
        kind = self.random.choice(("allow", "hide", *("deny",) * 5, "require"))
        about = kind in ("allow", "hide") or self.random.random() < 0.6
        conditions = self.random.sample(TARGET, 2) if about else [self.random.choice(LISTED)]
        if self.random.random() < 0.3:
            conditions.append(self.random.choice(LISTED))
        called = kind in ("deny", "require") and self.random.random() < 0.6
        if called:
            conditions.append(self.random.choice(CALLED))
        fields = {"code": f"{pack}.{number}.{'called' if called else 'listed'}"}
        if kind in ("allow", "hide") or (kind == "deny" and about and (not called or self.random.random() < 0.5)):
            fields["target"] = "t.key"
        if kind == "deny":
            fields["message"] = "No."
        if kind == "require":
            fields |= {"kind": "confirmation", "id": f"r{number}", "min_assurance": "passkey"}
        written = [f'"{k}": {v if k == "target" else json.dumps(v)}' for k, v in fields.items()]
        written += ['"stage": 1', '"ttl_seconds": 60'] if kind == "require" else []
        self.random.shuffle(conditions)
        body = "; ".join(((ABOUT,) if about else ()) + tuple(conditions))
        return f"{kind} contains {{{', '.join(written)}}} if {{ {body} }}\n"

    def target(self, name: str) -> TargetFact:
        pick = self.random.choice
        return good_target(
            key=f"tool:{name}",
            name=name,
            check=pick((OK,) * 12 + (Check("failed", "x.failed"),)),
            risk=pick(("low", "low", "low", "medium", "high", "critical")),
            cost=self.random.randint(0, 9),
            permissions=pick((*[()] * 6, ("repo:read",), ("repo:admin",))),
            annotations=Annotations(read_only=pick((True, False)), destructive=pick((True, False))),
            schema_open=pick((*[False] * 6, True)),
        )

    def call(self) -> Facts:
        """What a list and the calls of its tools share, and what only a call has."""
        pick = self.random.choice
        call = good_call(asserted=pick((Asserted(), Asserted(task="x"))), people_refusals=pick((0, 3)))
        subject = replace(
            call.identity.subject,
            groups=pick((*[("developers",)] * 6, ("auditors",), ())),
            kind=pick(("human", "human", "human", "service")),
        )
        actors = pick(((), (), (), tuple(Actor(f"a{n}") for n in range(9))))
        waivers = pick(((), (Waiver("w", "schema.open", "git", "o", "", 2**62),)))
        return replace(
            call,
            identity=replace(call.identity, subject=subject, actors=actors),
            arguments=replace(call.arguments, size=pick((2, 99))),
            session=replace(
                call.session, known=pick((True, False)), calls=pick((1, 500)), labels=pick(((), ("high",)))
            ),
            waivers=waivers,
        )

    def query(self, facts: Facts) -> EngineQuery:
        packs, revision = self.bundle.packs, self.bundle.revision
        return EngineQuery.of(document(facts, (), NOON, revision=revision, packs=packs), {})


@pytest.mark.timeout(3600)
async def test_a_list_is_what_may_be_called() -> None:
    seen: Counter[str] = Counter()
    for seed in range(BUNDLES):
        await _ask(Packs(seed), seen)
    assert min(seen["listed"], seen["denied"], seen["listed and denied"]) >= 2 * BUNDLES, seen


async def _ask(packs: Packs, seen: Counter[str]) -> None:
    ours = {code for owner, code in packs.bundle.listed if owner != "baseline"}
    assert ours == {c for c in _codes(packs) if c.endswith(".listed")}
    embedded = Evaluator(build(packs.bundle), EvaluationCaps())
    host = OpaHost(OpaOptions(binary=need("opa"), deadline_ms=60_000), SeededEntropy("opa"))
    try:
        opa = await host.load(packs.bundle)
        for _ in range(ASKED):
            shared = packs.call()
            targets = tuple(packs.target(name) for name in TOOLS)
            calls = [replace(shared, targets=(target,)) for target in targets]
            asked = [packs.query(facts) for facts in (list_of(shared, targets), *calls)]
            answers = [_by_regorus(embedded, query) for query in asked]
            for answer, theirs in zip(answers, await asyncio.gather(*map(opa.evaluate, asked)), strict=True):
                assert _plain(answer) == _plain(json.loads(decision_of(theirs))), packs.texts
            _compare(answers, targets, packs, seen)
    finally:
        await host.close()


def _compare(answers: list[Any], targets: tuple[TargetFact, ...], packs: Packs, seen: Counter[str]) -> None:
    listed, *found = answers
    for target, call in zip(targets, found, strict=True):
        reasons = {reason["code"] for reason in call["reasons"]}
        if target.key not in listed["visible"]:
            assert call["effect"] == "deny", (target, packs.texts)
            seen["denied"] += 1
            continue
        seen["listed"] += 1
        seen["listed and denied"] += call["effect"] == "deny"
        assert target.key in call["visible"]
        wrong = {code for code in reasons if code.endswith(".listed") or code in BASELINE}
        assert call["effect"] != "deny" or not wrong, (wrong, target, packs.texts)


def _codes(packs: Packs) -> set[str]:
    """The codes of all denials, as written."""
    rules = [line for text in packs.texts.values() for line in text.splitlines() if line.startswith("deny")]
    return {line.split('"code": "')[1].split('"')[0] for line in rules}


def _by_regorus(evaluator: Evaluator, query: EngineQuery) -> Any:
    status, body = evaluator.evaluate(query.payload)
    assert status is Status.OK, body
    return json.loads(decision_of(body))


def _plain(decision: Any) -> str:
    sets = {key: sorted(map(_text, value)) for key, value in decision.items() if isinstance(value, list)}
    return _text({**decision, **sets})


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
