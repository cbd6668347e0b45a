"""`pdp policy diff` without its command line: the decisions of a time that another policy answers otherwise, and how
often it would ask people."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pdp.core.check import NS
from pdp.core.outcome.forecast import (
    Forecast,
    RecordedRequests,
    WantedCall,
    WantedCalls,
    asks_people,
    forecast,
    seats_of,
)
from pdp.core.ports import LoadedPolicy
from pdp.decide.replay import ComparedAnswer, NotReplayable, parsed
from pdp.tools.authoring.policy_change import ASKED_AGAIN, Compared, Decisions, Rows, compare, decisions

RUNS = 40  # of the forecast: the chance of each is the same in every forecast
KINDS = ("decision", "approval")


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
    after: Forecast = field(default_factory=Forecast)
    requests: RecordedRequests = field(default_factory=RecordedRequests)

    @property
    def days(self) -> float:
        """Length of the time, an hour at least."""
        return max(self.last_ns - self.first_ns, 3600 * NS) / (24 * 3600 * NS)

    @property
    def decisions(self) -> int:
        """All of them."""
        return self.compared + self.left_out.total()

    def read(self, rows: Rows) -> Decisions:
        """The decisions among records of `KINDS`; the others are noted."""

        def noted() -> Rows:
            for data, values in rows:
                record = parsed(data)
                self.first_ns = self.first_ns or record["time_ns"]
                self.last_ns = max(self.last_ns, record["time_ns"])
                if record["kind"] == "decision":
                    yield data, values
                else:
                    self._note(record)

        return decisions(noted())

    def _note(self, record: Mapping[str, Any]) -> None:
        self.requests.add(record)
        if record["event"] == "opened" and not record["request"]["canary"]:
            self.asked.update(seats_of(record["requirements"][0]))

    def forecast(self, calls: WantedCalls) -> Forecast:
        """The votes that so many calls need, by what requests came of calls in that time."""
        draws = [random.Random(seed).random for seed in range(RUNS)]  # noqa: S311 - not for secrets
        return forecast(calls.all, self.requests, self.days, draws)


async def difference(rows: Rows, before: LoadedPolicy | None, after: LoadedPolicy) -> Comparison:
    """Compare decisions under two policies; `before` is None for what was recorded. `rows` are records of `KINDS`."""
    found = Comparison()
    wanted = (WantedCalls(), WantedCalls())
    async for each in compare(found.read(rows), before, after, people=True):
        sides = each.sides
        if isinstance(sides, NotReplayable):
            found.left_out[sides.code] += 1
            continue
        found.compared += 1
        if sides[0].answer != sides[1].answer:
            found.changed.append(_change(each.record, sides[0].answer, sides[1].answer))
        found.judged += sides[1].judge
        for side, into in zip(sides, wanted, strict=True):
            if side.stages is not None and each.record["call_digest"]:
                attempt = WantedCall(each.record["call_digest"], _people(each), side.stages)
                into.add(attempt, each.record["time_ns"], allowed=each.record["effect"] == "allow")
    found.before = None if before is None else found.forecast(wanted[0])
    found.after = found.forecast(wanted[1])
    return found


def _change(record: Mapping[str, Any], before: ComparedAnswer, after: ComparedAnswer) -> ChangedDecision:
    rules = tuple(f"{rule} {code}" for code, rule in before.reasons_of_change(after)) or ("the same rules",)
    target = f"{record['server']['id']}/{record['target']['name']}"
    subject = record["subject"]["id"] or ""
    return ChangedDecision(
        str(record["id"]), before.part_changed(after), before.effect, after.effect, rules, target, subject
    )


def _people(compared: Compared) -> dict[str, Mapping[str, Any]]:
    """The requirements of people that a call had, open or answered, by id."""
    evidence = json.loads(compared.document)["evidence"]
    answered = [each["for"] for each in evidence if each["kind"] in ASKED_AGAIN]
    every = (*compared.record["requirements"], *answered)
    return {str(each["id"]): each for each in every if asks_people((each,))}
