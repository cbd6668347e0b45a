"""Filtered lists: which tools, prompts or resources of a server one subject may see, by the evaluation of Decide
over all of them at once."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace

from pdp.core.bytes.digest import Json
from pdp.core.call.facts import Facts
from pdp.core.call.methods import LISTS
from pdp.core.call.request import Caller, ListAsk
from pdp.core.check import NS
from pdp.core.errors import Conflict
from pdp.core.outcome import Hidden, Outcome, denied, observable
from pdp.core.outcome.answer import OBSERVED, ListAnswer, PolicyRef, Terms
from pdp.core.ports import Clock
from pdp.core.rows.log import RecordRef
from pdp.decide.admission import WorkerCrashQuota, require_server
from pdp.decide.commit import ListRecording, Recorder
from pdp.decide.decide import TRIES, overtaken
from pdp.decide.evaluate import evaluate
from pdp.decide.facts import FactBuilder
from pdp.decide.shares import Shares, Turn
from pdp.decide.state import ServiceState, Snapshot


@dataclass(frozen=True, slots=True)
class Filter:
    """`DecisionService.FilterTools`. A list that cannot be decided is empty."""

    state: ServiceState
    facts: FactBuilder
    recorder: Recorder
    clock: Clock
    kills: WorkerCrashQuota
    terms: Terms
    shares: Shares

    async def __call__(self, ask: ListAsk, caller: Caller) -> tuple[ListAnswer, RecordRef]:
        """Filter one list; recorded like any answer. Raises Forbidden, InvalidRequest, Overloaded, Unavailable."""
        require_server(caller, ask.server)
        with self.shares.turn() as turn:
            return await self._filtered(ask, caller, turn)

    async def _filtered(self, ask: ListAsk, caller: Caller, turn: Turn) -> tuple[ListAnswer, RecordRef]:
        # in a thread: a tool server that lists much must not hold decisions up
        shown = await asyncio.to_thread(self.facts.shown, ask) if ask.definitions else {}
        tries = 0
        while True:
            at, snapshot = self.clock.now_ns(), self.state.snapshot()
            self.kills.check(caller, at)
            identity = await self.facts.identity(ask.credential, caller, ask.server, snapshot.registry, at)
            session = self.facts.named(ask.session, caller, identity)
            turn.ask(caller, identity, session.id)
            # fetching keys may have taken long: what was pinned is then history
            if self.state.outdated(snapshot, at, self.clock.now_ns()):
                continue
            tries += 1
            facts = self.facts.list(ask, shown, caller, identity, snapshot, at)
            if ask.method in LISTS:
                outcome, document, _ = await evaluate(snapshot.policy, facts, at)
            else:
                outcome = denied("target.unsupported", f"Filtered are {', '.join(LISTS)}.")
                document = b""
            self.kills.note(caller, outcome, at)
            answer = self._answer(facts, outcome, caller, snapshot, at)
            subject = self.facts.subject_index(caller, identity)
            recording = ListRecording(
                replace(ask, session=session), caller, facts, outcome, document, snapshot, at, subject
            )
            with suppress(Conflict) if tries < TRIES else nullcontext():
                recorded = await self.recorder.list(recording, answer)
                if self.state.holds(snapshot, caller.tenant):
                    return recorded
                raise overtaken()

    def _answer(self, facts: Facts, outcome: Outcome, caller: Caller, snapshot: Snapshot, at_ns: int) -> ListAnswer:
        hidden, pinned = list(outcome.hidden), dict[str, tuple[str, dict[str, Json]]]()
        for target in facts.targets:
            pin = snapshot.registry.pinned(facts.caller.tenant, target.server, target.name, target.kind)
            if pin is not None:
                pinned[target.key] = target.name, dict(pin.definition)
        # an evaluation that failed names nothing: every tool is hidden for its reason
        named = {key for key in pinned if key in outcome.visible} | {h.key for h in hidden}
        hidden += [Hidden(t.key, outcome.reasons) for t in facts.targets if t.key not in named]
        policy, expires = snapshot.policy, facts.identity.subject.expires_ns
        observed = caller.observed(facts.server.id, at_ns) and observable(outcome.reasons)
        until_ns = min(at_ns + self.terms.list_seconds * NS, expires or sys.maxsize)
        shown: set[str] = set()
        if observed:
            until_ns = min(until_ns, caller.observed_until_ns)
            shown = {h.key for h in hidden if observable(h.reasons)}
        return ListAnswer(
            decision_id=self.recorder.new_id(at_ns),
            tools=tuple(tool for key, tool in pinned.items() if key in outcome.visible),
            hidden=tuple(hidden),
            reasons=outcome.reasons,  # why it could not be decided; an empty list is an answer too
            valid_until_ns=until_ns,
            policy=PolicyRef(policy.revision, policy.digest, policy.engine.name),
            enforcement=OBSERVED if observed else "enforced",
            observed=tuple(tool for key, tool in pinned.items() if key in shown),
        )
