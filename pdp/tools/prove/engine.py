"""What the embedded engine, and OPA where there is one, answer about a document: each counterexample is confirmed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pdp.core.outcome.elements import EngineQuery, SaidElement, decision_of, elements_of
from pdp.core.outcome.policy import FIXTURES, Bundle
from pdp.policy.embedded.regorus_binding import new_engine
from pdp.policy.embedded.worker import EvaluationCaps, Evaluator
from pdp.policy.embedded.zygote import build
from pdp.policy.evaluation import Status

_MINUTE = 60_000_000_000


@dataclass(frozen=True, slots=True)
class Said:
    """An engine's answer: the effect, the decision's members, and the elements, with and without what callers assert.
    Without a value the effect is deny, and `error` says so."""

    effect: str
    decision: Mapping[str, Any]
    elements: tuple[SaidElement, ...]
    error: str = ""


def example(bundle: Bundle) -> dict[str, Any]:
    """The good call that tests of policy begin with."""
    engine = new_engine()
    engine.add_policy(FIXTURES, next(module.text for module in bundle.modules if module.path == FIXTURES))
    found: dict[str, Any] = json.loads(engine.eval_rule_as_json("data.lib.testing.base"))
    return found


def waivers(document: Mapping[str, Any], codes: Sequence[str]) -> list[dict[str, Any]]:
    """Waivers of these codes that hold for a call."""
    expires = min(document["time"]["ns"] + _MINUTE, 2**63 - 1)
    shared = {"server": document["server"]["id"], "owner": "owner", "reason": "reason", "expires_ns": expires}
    return [{"id": f"waiver-{code}", "code": code, **shared} for code in codes]


class Engine:
    """The embedded engine with one bundle, in this process."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._evaluator = Evaluator(build(bundle), EvaluationCaps())

    def query(self, document: Mapping[str, Any]) -> EngineQuery:
        """The question about a document, under this bundle."""
        asked = copy.deepcopy(dict(document))
        asked["policy"] = {"revision": self.bundle.revision, "packs": list(self.bundle.packs)}
        return EngineQuery.of(asked, {})

    def ask(self, document: Mapping[str, Any]) -> Said:
        """The answer to a document. Raises EngineFault for one that is no JSON."""
        query = self.query(document)
        status, body = self._evaluator.evaluate(query.payload)
        if status is not Status.OK:
            return Said("deny", {}, (), status.name.lower())
        decision = json.loads(decision_of(body))
        return Said(decision["effect"], decision, elements_of(body, document["server"]["id"], query.keys))
