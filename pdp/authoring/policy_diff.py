"""`pdp policy replay` and `pdp policy diff` without their command lines: recorded decisions under other policies.

A decision is evaluated on the document that it was made of, evidence included; only what the document says of the
policy is the other one's. Facts that another answer would have changed (counters of the session, refusals) are as
they were. For the forecast of votes the evidence of people is left out, since it would be asked for again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pdp.authoring.reexecution import Policies, Reexecuted, reexecute
from pdp.core.check import NS
from pdp.core.digest import canonical
from pdp.core.errors import EngineFault
from pdp.core.evidence import answer
from pdp.core.forecast import (
    Draw,
    Forecast,
    RecordedAttempt,
    WantedCall,
    asks_people,
    forecast,
    seats_of,
    settled,
    wanted_calls,
)
from pdp.core.outcome import Effect
from pdp.ports import LoadedPolicy
from pdp.service.evaluate import MAX_ROUNDS
from pdp.service.replay import (
    ComparedAnswer,
    NotReplayable,
    Opened,
    RecordedDecision,
    by_service,
    opened,
    parsed,
    reevaluated,
    under,
)

TOGETHER = 64  # decisions that are evaluated at once
RUNS = 40  # of the forecast
KINDS = ("decision", "approval", "grant")
_ASKED_AGAIN = frozenset({"approval", "confirmation"})
Rows = Iterable[tuple[bytes, Opened]]


@dataclass(frozen=True, slots=True)
class ChangedDecision:
    """A decision that the new policy answers otherwise. `part`: the first of effect, requirements, obligations and
    reasons that differs; `rules`: what says so now, or of an allow what said otherwise before."""

    decision: str
    part: str
    before: str  # effects
    after: str
    rules: tuple[str, ...]
    target: str  # server/tool
    subject: str  # pseudonym; "" where none was verified


@dataclass(slots=True)
class Comparison:
    """Decisions of a time, compared."""

    first_ns: int = 0
    last_ns: int = 0
    compared: int = 0
    changed: list[ChangedDecision] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # by code of `NOT_REPLAYABLE`
    judged: int = 0  # calls that the new policy would ask a judge about, which was not asked then
    asked: Counter[str] = field(default_factory=Counter)  # votes that people were asked for in that time, by group
    before: Forecast | None = None
    after: Forecast | None = None

    @property
    def days(self) -> float:
        """Length of the time, an hour at least."""
        return max(self.last_ns - self.first_ns, 3600 * NS) / (24 * 3600 * NS)

    @property
    def decisions(self) -> int:
        """All of them."""
        return self.compared + self.left_out.total()


async def replayed(
    rows: Rows, policies: Policies
) -> AsyncIterator[tuple[Mapping[str, Any], Reexecuted | NotReplayable]]:
    """Each decision of `rows`, by its record, evaluated again under the policy that it was recorded with."""
    for chunk in _chunks(rows):
        records = [(parsed(data), values) for data, values in chunk]
        results = await reexecute(policies, [opened(record, values) for record, values in records])
        for (record, _), result in zip(records, results, strict=True):
            yield record, result


async def compare(rows: Rows, before: LoadedPolicy | None, after: LoadedPolicy) -> Comparison:
    """Compare decisions under two policies; `before` is None for what was recorded. `rows` are records of `KINDS`."""
    found = Comparison()
    attempts: tuple[list[RecordedAttempt], list[RecordedAttempt]] = ([], [])
    events: list[Mapping[str, Any]] = []
    widened: set[str] = set()
    for chunk in _chunks(rows):
        decisions: list[RecordedDecision] = []
        for data, values in chunk:
            record = parsed(data)
            found.first_ns = found.first_ns or record["time_ns"]
            found.last_ns = max(found.last_ns, record["time_ns"])
            if record["kind"] == "decision":
                _take(found, decisions, record, values)
                continue
            events.append(record)
            if record["kind"] == "approval" and record["event"] == "opened" and not record["request"]["canary"]:
                found.asked.update(seats_of(record["requirements"][0]))
            if "grant" in values and not values["grant"][1].startswith(b'{"const":'):
                widened.add(str(record.get("grant_id", "")))
        results = await asyncio.gather(*(_compared(each, before, after) for each in decisions))
        for decision, result in zip(decisions, results, strict=True):
            _note(found, decision, result, attempts)
    rests_on = settled(events, lambda grant: grant not in widened, found.last_ns)
    if before is not None:
        found.before = forecast(wanted_calls(attempts[0]), rests_on, found.days, _draws())
    found.after = forecast(wanted_calls(attempts[1]), rests_on, found.days, _draws())
    return found


def _chunks(rows: Rows) -> Iterator[list[tuple[bytes, Opened]]]:
    chunk: list[tuple[bytes, Opened]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) >= TOGETHER:
            yield chunk
            chunk = []
    yield chunk


def _draws() -> list[Draw]:
    """The chance of each run: the same in every forecast."""
    return [random.Random(seed).random for seed in range(RUNS)]  # noqa: S311 - not for secrets


def _take(found: Comparison, decisions: list[RecordedDecision], record: Mapping[str, Any], values: Opened) -> None:
    decision = opened(record, values)
    if isinstance(decision, RecordedDecision) and by_service(record):
        decision = NotReplayable("replay.service")
    if isinstance(decision, NotReplayable):
        found.left_out[decision.code] += 1
    else:
        decisions.append(decision)


@dataclass(frozen=True, slots=True)
class _Result:
    """What a policy answers now, and whom it would ask. `judge`: it would ask one; what follows is not known."""

    answered: ComparedAnswer
    stages: tuple[tuple[Mapping[str, Any], ...], ...]
    judge: bool


async def _compared(
    decision: RecordedDecision, before: LoadedPolicy | None, after: LoadedPolicy
) -> tuple[_Result | None, _Result] | NotReplayable:
    try:
        return (
            None if before is None else await _under(before, decision),
            await _under(after, decision),
        )
    except EngineFault as fault:
        return NotReplayable("replay.schema" if fault.code == "policy.input" else "replay.engine")


async def _under(policy: LoadedPolicy, decision: RecordedDecision) -> _Result:
    """A decision under another policy. Raises EngineFault."""
    document = under(policy, decision.document)
    outcome = await reevaluated(policy, document, decision.supported)
    answered = ComparedAnswer.of(outcome)
    evidence = [each for each in document["evidence"] if each["kind"] not in _ASKED_AGAIN]
    if len(evidence) != len(document["evidence"]):
        document["evidence"] = evidence
        outcome = await reevaluated(policy, document, decision.supported)
    stages: list[tuple[Mapping[str, Any], ...]] = []
    while outcome.effect is Effect.PENDING and asks_people(outcome.requirements) and len(stages) < MAX_ROUNDS:
        stages.append(outcome.requirements)
        call, until_ns = document["call"]["digest"], document["time"]["ns"] + NS
        evidence = [*evidence, *(answer(each, call, "met", until_ns) for each in outcome.requirements)]
        document["evidence"] = evidence
        outcome = await reevaluated(policy, document, decision.supported)
    return _Result(answered, tuple(stages), judge=outcome.effect is Effect.PENDING)


def _note(
    found: Comparison,
    decision: RecordedDecision,
    result: tuple[_Result | None, _Result] | NotReplayable,
    attempts: tuple[list[RecordedAttempt], list[RecordedAttempt]],
) -> None:
    if isinstance(result, NotReplayable):
        found.left_out[result.code] += 1
        return
    found.compared += 1
    old, new = result
    before = ComparedAnswer.recorded(decision.record) if old is None else old.answered
    if before != new.answered:
        found.changed.append(_change(decision, before, new.answered))
    found.judged += new.judge
    for each, into in zip((old, new), attempts, strict=True):
        if each is not None and decision.record["call_digest"]:
            into.append(RecordedAttempt(_call(decision, each.stages), decision.record["effect"] == "allow"))


def _change(decision: RecordedDecision, before: ComparedAnswer, after: ComparedAnswer) -> ChangedDecision:
    record = decision.record
    rules = tuple(f"{rule} {code}" for code, rule in before.reasons_of_change(after)) or ("the same rules",)
    target = f"{record['server']['id']}/{record['target']['name']}"
    subject = record["subject"]["id"] or ""
    part = before.part_changed(after)
    return ChangedDecision(decision.id, part, before.effect, after.effect, rules, target, subject)


def _call(decision: RecordedDecision, stages: tuple[tuple[Mapping[str, Any], ...], ...]) -> WantedCall:
    document, record = json.loads(decision.document), decision.record
    subject, agent = document["subject"], document["agent"]["id"]
    asker = [record["tenant"], subject["issuer"], subject["id"], agent, record["caller"], *_named(record)]
    arguments = hashlib.sha256(canonical(document["arguments"]["value"])).hexdigest()
    session = record["session"]["index"] or ""
    return WantedCall(record["time_ns"], record["call_digest"], json.dumps(asker), session, arguments, stages)


def _named(record: Mapping[str, Any]) -> tuple[str, ...]:
    target = record["target"]
    return str(record["server"]["id"]), str(target["key"]), str(target["manifest_sha256"])
