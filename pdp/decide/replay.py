"""Documents that a policy is asked about again, or instead of another one. Pure but for the engine; nothing changes.

What a decision rested on is its input document, which the record is committed to, and the policy bundle, which the
record names by digest. Of neither is anything believed that does not fit the record.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pdp.core.bytes.digest import canonical, commitment
from pdp.core.call.facts import completed
from pdp.core.errors import EngineFault
from pdp.core.outcome import Outcome, conclude, denied, read
from pdp.core.outcome.elements import EngineQuery, decision_of
from pdp.core.ports import LoadedPolicy
from pdp.core.record.encoding import cut

UNSUPPORTED = "obligation.unsupported"
_NOBODY: Mapping[str, str] = {}
_COMMITTED = ("input", "arguments")
# what the service denies for, and a policy that does it is no better for being tried elsewhere
_OF_THE_POLICY = frozenset({"policy.error", "policy.undefined", "policy.not_a_decision", "policy.timeout"})
_COMPARED = ("effect", "requirements", "obligations", "reasons")

Opened = Mapping[str, tuple[bytes, bytes]]  # salt and value of each commitment, by its path


@dataclass(frozen=True, slots=True)
class RecordedDecision:
    """A recorded decision with its input document."""

    record: Mapping[str, Any]
    document: bytes

    @property
    def id(self) -> str:
        """The decision id."""
        return str(self.record["id"])

    @property
    def supported(self) -> frozenset[str] | None:
        """The kinds of obligations that the caller supported, which are not recorded: all (None), unless the recorded
        denial says otherwise."""
        return frozenset() if _unsupported(self.record) else None


@dataclass(frozen=True, slots=True)
class NotReplayable:
    """Why a recorded decision cannot be evaluated again; `code` is one of `NOT_REPLAYABLE`."""

    code: str


NOT_REPLAYABLE: Mapping[str, str] = {
    "replay.kind": "It is no answer to a Decide.",
    "replay.erased": "Its values were erased, or were not opened.",
    "replay.altered": "A value is not the one that the record is committed to.",
    "replay.other": "The input document is about another call than the record.",
    "replay.no_input": "No policy saw the call; the record says why.",
    "replay.service": "The service denied, whatever policy said.",
    "replay.policy": "The policy bundle is not there.",
    "replay.bundle": "The policy bundle is not the one that the record names.",
    "replay.gate": "The policy bundle does not pass the load gate of this release.",
    "replay.schema": "The input document is not one that this policy reads.",
    "replay.release": "Its release evaluated policy in another way: take the embedded engine, or that release.",
    "replay.engine": "The policy could not be evaluated now.",
    "replay.judge": "This policy asks a judge what it was not asked then.",
    "replay.people": "This policy asks people what they were not asked then.",
}
"""Sentences for `NotReplayable.code`."""
ALTERED = frozenset({"replay.altered", "replay.other", "replay.bundle"})
"""Those by which something that was kept is not what was written."""


def opened(record: Mapping[str, Any], values: Opened) -> RecordedDecision | NotReplayable:
    """The decision of a record, when the opened values are those that it is committed to."""
    if record["kind"] != "decision":
        return NotReplayable("replay.kind")
    if "input" not in values:
        return NotReplayable("replay.erased")
    committed = {"input": record["input"], "arguments": record["arguments"]["commitment"]}
    for path in _COMMITTED:
        if path in values and committed[path] is not None and commitment_of(path, values) != committed[path]:
            return NotReplayable("replay.altered")
    document = values["input"][1]
    if committed["input"] is None or not document:
        return NotReplayable("replay.no_input")
    if not _about(json.loads(document), record):
        return NotReplayable("replay.other")
    return RecordedDecision(record, document)


def _about(document: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether a document is of the call that its record tells of: a record commits to whatever its writer chose."""
    (target,) = document["targets"]
    pairs = (
        (document["time"]["ns"], record["time_ns"]),
        (document["caller"]["tenant"], record["tenant"]),
        (document["caller"]["name"], record["caller"]),
        (document["call"]["method"], record["method"]),
        (document["call"]["digest"] or None, record["call_digest"]),
        (document["server"]["id"], record["server"]["id"]),
        (target["key"], record["target"]["key"]),
        (document["policy"]["revision"], record["policy"]["revision"]),
    )
    return all((cut(fact) if isinstance(fact, str) else fact) == told for fact, told in pairs)


def commitment_of(path: str, values: Opened) -> str:
    """The commitment that an opened value makes."""
    salt, value = values[path]
    return commitment(salt, path, value)


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """What a policy answers, as far as it is compared with another's."""

    effect: str
    reasons: frozenset[tuple[str, str]]  # code, rule
    requirements: frozenset[bytes]
    obligations: frozenset[bytes]

    @classmethod
    def recorded(cls, record: Mapping[str, Any]) -> ComparedAnswer:
        """What a record says."""
        reasons = frozenset((r["code"], r["rule"]) for r in record["reasons"])
        return cls(record["effect"], reasons, *map(_set, (record["requirements"], record["obligations"])))

    @classmethod
    def of(cls, outcome: Outcome) -> ComparedAnswer:
        """What an evaluation came to."""
        reasons = frozenset((r.code, r.rule) for r in outcome.reasons)
        return cls(outcome.effect.value, reasons, *map(_set, (outcome.requirements, outcome.obligations)))

    def part_changed(self, after: ComparedAnswer) -> str:
        """The first part that another policy says otherwise; "" where it says the same."""
        return next((name for name in _COMPARED if getattr(self, name) != getattr(after, name)), "")

    def reasons_of_change(self, after: ComparedAnswer) -> list[tuple[str, str]]:
        """Code and rule of what says so now, or of an allow of what no longer keeps it from being one."""
        come, gone = sorted(after.reasons - self.reasons), sorted(self.reasons - after.reasons)
        return gone or come if after.effect == "allow" else come or gone


def under(policy: LoadedPolicy, document: bytes) -> dict[str, Any]:
    """A document in which only what it says of the policy is another's. Raises EngineFault `policy.input` for a
    document that this policy does not read."""
    told: dict[str, Any] = json.loads(document)
    told["policy"] = {**told["policy"], "revision": policy.revision, "packs": list(policy.packs)}
    if not policy.valid(told):
        told = completed(told)
    if not policy.valid(told):
        raise EngineFault("policy.input", "The input document does not match its schema.")
    return told


async def evaluated(
    policy: LoadedPolicy,
    document: Mapping[str, Any],
    supported: frozenset[str] | None = None,
    advice: Mapping[str, str] = _NOBODY,
) -> tuple[Outcome, bytes]:
    """What a policy says of a document, evaluated anew, and its engine's answer. Raises EngineFault."""
    asked = EngineQuery.of(document, advice, fresh=True)
    answer = await policy.engine.evaluate(asked)
    if supported is None:
        supported = frozenset(str(each["kind"]) for each in read(decision_of(answer)).obligations)
    return conclude(asked, answer, supported), answer


async def reevaluated(policy: LoadedPolicy, document: Mapping[str, Any], supported: frozenset[str] | None) -> Outcome:
    """The outcome alone; a policy that cannot evaluate a document denies. Raises EngineFault where that is not the
    policy's doing."""
    try:
        return (await evaluated(policy, document, supported))[0]
    except EngineFault as fault:
        if fault.code in _OF_THE_POLICY:
            return denied(fault.code)
        raise


def by_service(record: Mapping[str, Any]) -> bool:
    """Whether the service denied beside policy, so that no evaluation can come to this answer."""
    return record["decided_by"] == "service" and not _unsupported(record)


def failed(outcome: Outcome) -> bool:
    """Whether an outcome is that of an engine that could not evaluate."""
    return any(r.rule == "service" and r.code.startswith("policy.") for r in outcome.reasons)


def _set(elements: Iterable[Mapping[str, Any]]) -> frozenset[bytes]:
    return frozenset(canonical(dict(each)) for each in elements)


def _unsupported(record: Mapping[str, Any]) -> bool:
    return any(r["code"] == UNSUPPORTED for r in record["reasons"])


def parsed(record: bytes) -> dict[str, Any]:
    """A record's fields."""
    found: dict[str, Any] = json.loads(record)
    return found
