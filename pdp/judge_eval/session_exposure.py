"""Exposure of whole sessions: who decided each call, by profile and by what is known, and the figures over suites.

Each call goes through the packs and the composition with a judge that always allows (`exposure.PermissiveJudge` says
why). With a judge that errs the same calls pass where it is not asked, and where it misses: both follow from who
decided, so each call is evaluated once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pdp.core.check import NS
from pdp.core.digest import Json, canonical
from pdp.core.errors import Fault
from pdp.core.evidence import Evidence, Verdict, judged
from pdp.core.facts import Facts
from pdp.core.outcome import Effect, Outcome
from pdp.judge_eval.exposure import DENIED, JUDGE, NOBODY, PERSON, PROFILES, errs
from pdp.judge_eval.figures import rounded
from pdp.judge_eval.organisation import AT_NS
from pdp.judge_eval.sessions import BENIGN, Known, RecordedSession, replayed
from pdp.policy.bundle import read_bundle, shipped_rego
from pdp.policy.embedded.engine import EngineHost
from pdp.policy.source import loaded_policy
from pdp.ports import LoadedPolicy
from pdp.registry.review import Review
from pdp.service.evaluate import evaluate

STRICT, BALANCED = PROFILES
_PROMPT = "0" * 64


@dataclass(frozen=True, slots=True)
class Variant:
    """One policy and the facts it has."""

    profile: str
    people: str = "filter"
    medium: str = "none"
    known: Known = field(default_factory=Known)


VARIANTS: Mapping[str, Variant] = {
    STRICT: Variant(STRICT),
    BALANCED: Variant(BALANCED),
    "balanced, labels not complete": Variant(BALANCED, known=Known(labels=False)),
    "balanced, origins not traced": Variant(BALANCED, known=Known(origins=False)),
    "balanced, own not traced": Variant(BALANCED, known=Known(own=False)),
    "balanced, every origin believed": Variant(BALANCED, known=Known(believed=True)),
    "balanced, task not vouched for": Variant(BALANCED, known=Known(task=False)),
}


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """Who decided one call of a session. `acts`: it does more than reading."""

    session: str
    number: int
    suite: str
    benign: bool  # whether its session is
    attack: bool
    acts: bool
    who: str

    @property
    def erred(self) -> bool:
        """Whether a judge that errs does so on this call."""
        return errs(f"{self.session}|{self.number}")


class LoadedProfiles:
    """The shipped baseline with a pack that grants everything on the suites' servers, loaded once for each use of the
    judge. An evaluation that differs in nothing that the baseline reads is not made again."""

    def __init__(self, folder: Path, servers: Sequence[str]) -> None:
        self._folder, self._servers, self._host = folder, servers, EngineHost()
        self._loaded: dict[tuple[str, str, str], LoadedPolicy] = {}
        self._known: dict[tuple[str, ...], str] = {}

    async def who(self, variant: Variant, facts: Facts) -> str:
        """Who decides. Raises Fault `sessions.exposure` where policy came to no decision."""
        policy = await self._policy(variant)
        key = (policy.digest, *_read(facts))
        if key not in self._known:
            self._known[key] = await _who(policy, facts)
        return self._known[key]

    async def close(self) -> None:
        await self._host.close()

    async def _policy(self, variant: Variant) -> LoadedPolicy:
        name = (variant.profile, variant.people, variant.medium)
        if name not in self._loaded:
            folder = self._folder / "-".join(name)
            pack = folder / "packs" / "suites"
            pack.mkdir(parents=True)
            (pack / "suites.rego").write_text(_PACK % json.dumps(self._servers))
            (folder / "data").mkdir()
            data = json.loads((shipped_rego() / "data" / "org.json").read_text())
            data |= {"profile": variant.profile, "judge": {"people": variant.people, "medium": variant.medium}}
            (folder / "data" / "org.json").write_text(json.dumps(data))
            bundle = read_bundle(shipped_rego(), folder)
            self._loaded[name] = loaded_policy(bundle, await self._host.load(bundle))
        return self._loaded[name]


_PACK = """package packs.suites

meta := {"servers": %s, "owner": "evaluation"}

allow contains {"target": t.key, "code": "suites.all"} if some t in input.targets
"""


async def outcomes(
    policies: LoadedProfiles, variant: Variant, sessions: Sequence[RecordedSession], review: Review
) -> AsyncIterator[CallOutcome]:
    """The outcome of every call. Raises Fault."""
    for made in replayed(sessions, review, variant.known):
        yield CallOutcome(
            made.session.id,
            made.number,
            made.session.suite,
            made.session.label == BENIGN,
            made.step.attack,
            made.acts,
            await policies.who(variant, made.facts),
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """Shares, each the mean of the suites that have such calls; None where none has. `calls` are counts."""

    benign_person: float | None  # of the benign calls that act
    benign_person_of_all: float | None
    benign_denied_by_erring_judge: float | None
    attacks_judge_5: float | None  # of the attackers' calls that act
    attacks_lying_judge: float | None
    goals_lying_judge: float | None  # sessions in which all of them pass
    calls: Mapping[str, Mapping[str, int]]

    def fact(self) -> dict[str, Any]:
        names = self.__slots__
        return {
            name: value if name == "calls" else rounded(value) for name in names for value in (getattr(self, name),)
        }


def figures(calls: Iterable[CallOutcome]) -> Figures:
    """The figures of some calls."""
    every = list(calls)
    benign = [call for call in every if call.benign]
    acting = [call for call in benign if call.acts]
    attacks = [call for call in every if call.attack and call.acts]
    goals = {call.session: call.suite for call in attacks}
    stopped = {call.session for call in attacks if not _through(call)}
    reached = [(suite, session not in stopped) for session, suite in goals.items()]
    return Figures(
        benign_person=_mean((call.suite, call.who == PERSON) for call in acting),
        benign_person_of_all=_mean((call.suite, call.who == PERSON) for call in benign),
        benign_denied_by_erring_judge=_mean((call.suite, call.who == JUDGE and call.erred) for call in acting),
        attacks_judge_5=_mean(
            (call.suite, _through(call) and (call.who == NOBODY or call.erred)) for call in attacks
        ),
        attacks_lying_judge=_mean((call.suite, _through(call)) for call in attacks),
        goals_lying_judge=_mean(reached),
        calls={
            name: {who: sum(call.who == who for call in some) for who in (NOBODY, JUDGE, PERSON, DENIED)}
            for name, some in (("benign", benign), ("benign_acting", acting), ("attacks", attacks))
        },
    )


def _through(call: CallOutcome) -> bool:
    return call.who in (NOBODY, JUDGE)


def _mean(lines: Iterable[tuple[str, bool]]) -> float | None:
    """The mean over suites of the share of hits in each."""
    suites: dict[str, list[bool]] = {}
    for suite, hit in lines:
        suites.setdefault(suite, []).append(hit)
    shares = [sum(hits) / len(hits) for hits in suites.values()]
    return sum(shares) / len(shares) if shares else None


async def _who(policy: LoadedPolicy, facts: Facts) -> str:
    evidence: tuple[Evidence, ...] = ()
    facts = replace(facts, judge_prompts={"task-fit": _PROMPT})
    while True:
        outcome, _, _ = await evaluate(policy, facts, AT_NS, evidence=evidence)
        if (fault := next((r.code for r in outcome.reasons if r.rule == "service"), None)) is not None:
            raise Fault("sessions.exposure", f"A call was denied by {fault} and not by policy; nothing was measured.")
        asked = [element for element in outcome.requirements if element["kind"] == "judge"]
        if not asked:
            return _decider(outcome, evidence)
        verdict = Verdict("ok", "allow", 1.0, _PROMPT, "permissive")
        evidence += tuple(judged(element, facts.call_digest, verdict, AT_NS + 60 * NS) for element in asked)


def _decider(outcome: Outcome, evidence: tuple[Evidence, ...]) -> str:
    if outcome.effect is Effect.ALLOW:
        return JUDGE if evidence else NOBODY
    return PERSON if outcome.effect is Effect.PENDING else DENIED


def _read(facts: Facts) -> tuple[str, ...]:
    """What the baseline and the composition read of the facts of a replay."""
    session, arguments = facts.session, facts.arguments
    origins = sorted({value.origin for value in arguments.origins.values})
    findings = sorted({finding.kind for finding in arguments.findings})
    state: Json = [session.observed, list(session.labels), session.task_source, arguments.check.status]
    return (
        facts.server.id,
        facts.targets[0].key,
        canonical([origins, arguments.origins.traced, findings, state]).decode(),
    )
