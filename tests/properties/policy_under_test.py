"""The shipped policy and the example organisation, asked through the core, in this process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jsonschema_rs

from pdp.core.facts import Facts
from pdp.core.outcome import Effect, Outcome, conclude, denied, question
from pdp.core.policy import Module
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.embedded.regorus_binding import new_engine
from pdp.policy.embedded.worker import EvaluationCaps, Evaluator
from pdp.policy.evaluation import Status

ACME_ONLY: Mapping[str, str] = {}
RANK = {Effect.DENY: 0, Effect.PENDING: 1, Effect.ALLOW: 2}


class Policy:
    """`extra` maps names of further packs to their text."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        shipped = shipped_rego()
        bundle = read_bundle(shipped, shipped / "examples" / "acme")
        modules = tuple(Module(f"packs/{name}/{name}.rego", text) for name, text in extra.items())
        self._bundle = replace(
            bundle, modules=(*bundle.modules, *modules), packs=tuple(sorted((*bundle.packs, *extra)))
        )
        self._engine = new_engine()
        for module in self._bundle.live:
            self._engine.add_policy(module.path, module.text)
        self._engine.add_data_json(f'{{"org":{self._bundle.org.decode()}}}')
        self._evaluator = Evaluator(self._engine, EvaluationCaps())
        self._valid = jsonschema_rs.validator_for(json.loads(bundle.input_schema)).is_valid

    def ask(self, facts: Facts, at_ns: int, evidence: tuple[Mapping[str, Any], ...] = ()) -> Outcome:
        """What the service would be told."""
        asked = question(
            facts,
            evidence,
            at_ns,
            revision=self._bundle.revision,
            packs=self._bundle.packs,
            valid=self._valid,
        )
        status, body = self._evaluator.evaluate(asked.document)
        return conclude(asked, body, frozenset()) if status is Status.OK else denied(f"policy.{status.name}")

    def rule(self, path: str) -> Any:
        """The value of one more rule for the question asked last."""
        return json.loads(self._engine.eval_rule_as_json(path))


def no_looser(bent: Outcome, base: Outcome) -> bool:
    """True when `bent` grants nothing that `base` does not, and asks for no less."""
    if RANK[bent.effect] > RANK[base.effect] or not bent.visible <= base.visible:
        return False
    if bent.effect is base.effect is Effect.ALLOW:
        return all(o in bent.obligations for o in base.obligations)
    return True
