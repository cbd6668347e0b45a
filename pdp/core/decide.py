"""The one evaluation. First ask, re-evaluation with evidence, lists, replay and explain all pass through here.

It is sans-I/O: `question` turns facts into what an engine is asked, `conclude` turns the engine's answer into an
outcome. Between the two the service carries the bytes; nothing else may happen there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from pdp.core.digest import Json, sha256_hex
from pdp.core.errors import EngineFault
from pdp.core.evidence import Evidence
from pdp.core.facts import Facts, document
from pdp.core.outcome import Effect, Outcome, Reason, denied, read

RULE = "data.pdp.decision"  # the one query
# ASCII output keeps lone surrogates, if any slipped in, as escapes that the engine's parser refuses
_encode = json.JSONEncoder(allow_nan=False, check_circular=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class EngineQuery:
    """What an engine is asked. `sha256` is echoed by the engine, so no answer can belong to another question."""

    document: bytes  # the input document, JSON, UTF-8
    sha256: str
    phase: str
    keys: frozenset[str]  # the target keys asked about
    advice: Mapping[str, str] = field(default_factory=dict)  # failed checks: what to tell people, by code


def question(
    facts: Facts,
    evidence: tuple[Evidence, ...],
    at_ns: int,
    *,
    revision: str,
    packs: tuple[str, ...],
    valid: Callable[[Mapping[str, Json]], bool],
) -> EngineQuery:
    """Build the question. `valid` checks the document against its JSON Schema; a document that is not total is a
    fault of ours and raises EngineFault (`policy.input`), which the service answers with DENY."""
    doc = document(facts, evidence, at_ns, revision=revision, packs=packs)
    if not valid(doc):
        raise EngineFault("policy.input", "The input document does not match its schema.")
    try:
        data = _encode(doc).encode()
    except (TypeError, ValueError, RecursionError):  # a schema may let NaN and deep values pass
        raise EngineFault("policy.input", "The input document is not JSON.") from None
    keys = frozenset(t.key for t in facts.targets)
    return EngineQuery(data, sha256_hex(data), facts.phase, keys, _advice(facts))


def conclude(asked: EngineQuery, answer: bytes, supported_obligations: frozenset[str]) -> Outcome:
    """Turn the engine's answer to `asked` into an outcome; every doubt is a denial."""
    outcome = _ordered(_advised(read(answer), asked.advice))
    if not outcome.visible <= asked.keys:
        return denied("policy.not_a_decision", "The policy answered about a target that was not asked for.")
    if asked.phase != "call":
        if outcome.effect is not Effect.DENY:
            return denied("policy.not_a_decision", "The policy decided a call where only a list was asked for.")
        return outcome
    if outcome.effect is not Effect.DENY and not outcome.visible:
        return denied("policy.not_a_decision", "The policy let a call pass that it does not grant.")
    unsupported = sorted({str(o["kind"]) for o in outcome.obligations} - supported_obligations)
    if unsupported:
        message = f"The caller does not support the obligation {', '.join(unsupported)}; declare it or do not call."
        return Outcome(Effect.DENY, (Reason("obligation.unsupported", message, "service"),), waived=outcome.waived)
    return outcome


def _advice(facts: Facts) -> Mapping[str, str]:
    """Where a check failed and how to mend it. Policy sees only a check's code, so its words would say less."""
    identity = facts.identity
    checks = [identity.subject.check, identity.agent.check, facts.server.check, facts.switch]
    checks += [target.check for target in facts.targets]
    if facts.phase == "call":
        checks += [facts.arguments.check, facts.session.check]
    return {check.code: check.message for check in checks if not check.ok and check.message}


def _advised(outcome: Outcome, advice: Mapping[str, str]) -> Outcome:
    """The gate's reasons, in the words of the checks that they name."""

    def told(reasons: tuple[Reason, ...]) -> tuple[Reason, ...]:
        return tuple(replace(r, message=advice[r.code]) if _gates(r) and r.code in advice else r for r in reasons)

    if not advice:
        return outcome
    hidden = tuple(replace(h, reasons=told(h.reasons)) for h in outcome.hidden)
    return replace(outcome, reasons=told(outcome.reasons), hidden=hidden)


# The causes before their consequences: without a server there is no audience, without a subject no agent.
_CAUSES = ("policy", "caller", "switch", "server", "subject", "agent", "target", "tool", "arguments", "session")
_ORDER = {name: index for index, name in enumerate(_CAUSES)}


def _ordered(outcome: Outcome) -> Outcome:
    """Reasons, most important first: the gate's in order of cause, then the packs'. Rego's sets know no order."""
    if len(outcome.reasons) < 2:
        return outcome

    def place(reason: Reason) -> tuple[bool, int, str, str]:
        gates = _gates(reason)
        cause = _ORDER.get(reason.code.partition(".")[0], len(_ORDER)) if gates else 0
        return not gates, cause, reason.rule, reason.code

    return replace(outcome, reasons=tuple(sorted(outcome.reasons, key=place)))


def _gates(reason: Reason) -> bool:
    return reason.rule == "pdp.gate"
