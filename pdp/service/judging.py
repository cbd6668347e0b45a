"""The judge's verdicts as evidence: asked for when policy wants one, waited for no longer than the caller can wait,
committed whenever they come, and redeemed like any other answer.

A verdict that unlocks counts only for what the judge saw: with another statement of the task, another observation or
another prompt it is asked again. A refusal stands for its time whatever is said around the call, so that nobody shops
for a kinder verdict.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pdp.core.approvals.asked import Asked, Held
from pdp.core.approvals.rows import Answered
from pdp.core.approvals.steps import PutAnswer
from pdp.core.check import NS
from pdp.core.digest import Json, canonical, digest, keyed_index
from pdp.core.errors import Conflict, Fault
from pdp.core.evidence import Verdict, judged
from pdp.core.judge import records
from pdp.core.judge.matter import Matter, Opinion, Traits
from pdp.core.judge.redact import redacted
from pdp.ports import Clock, Judge, Store
from pdp.service.establish import asker
from pdp.service.places import Places
from pdp.service.record import Recorder

log = logging.getLogger("pdp.judge")
MOST_HELD = 128
MOST_SESSIONS = 1024


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. `hold`: how long a call waits for a verdict at most, with or without a deadline of its own; `margin`:
    what is left of the caller's deadline for everything after the verdict."""

    hold: float = 10.0
    margin: float = 0.25


@dataclass(slots=True)
class Judging:
    """One part of `ports.EvidenceSource`: what the judge says.

    `holding` are calls that wait, each in a place where decisions are made; `sessions` go on when their caller has
    left. A call that finds no place is pending, and has to be asked again: to fail it would let whoever asks much get
    round a veto.
    """

    judge: Judge
    store: Store
    recorder: Recorder
    clock: Clock
    index_key: bytes
    patience: Patience = field(default_factory=Patience)
    holding: Places = field(default_factory=lambda: Places(MOST_HELD))
    sessions: Places = field(default_factory=lambda: Places(MOST_SESSIONS))
    _running: dict[tuple[str, ...], asyncio.Task[Held | None]] = field(default_factory=dict)

    async def known(self, asked: Asked, at_ns: int, /) -> tuple[Held, ...]:
        """Verdicts for exactly this call that are there already and not used."""
        if not asked.repeated:
            return ()
        found, seen = [], None
        for answered in self.store.answers_of(asked.tenant, asked.call.digest):
            if answered.redemption_id or at_ns >= answered.expires_ns:
                continue
            element = json.loads(answered.element)
            prompt = str(element["for"].get("prompt", ""))
            seen = seen or matter(asked)
            if element["verdict"] == "deny" or answered.basis == self._basis(seen, prompt):
                found.append(Held(element, answered))
        return tuple(found)

    async def gather(self, asked: Asked, opened: tuple[Mapping[str, Json], ...], at_ns: int, /) -> tuple[Held, ...]:
        """Ask the judge about each requirement for it, all at once, and wait as long as the caller can."""
        wanted = [element for element in opened if element["kind"] == "judge"]
        if not wanted:
            return ()
        seen = matter(asked)
        found = [self._ask(asked, seen, element, at_ns) for element in wanted]
        running = [task for task in found if task is not None]
        if not running:
            return ()
        held = self.holding.take(asked)
        try:
            await asyncio.wait(running, timeout=self._seconds(asked) if held else 0.0)
        finally:
            if held:
                self.holding.leave(asked)
        done = [task.result() for task in running if task.done() and not task.cancelled()]
        return tuple(held for held in done if held is not None)

    async def close(self) -> None:
        """Give up what still runs."""
        for task in list(self._running.values()):
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _seconds(self, asked: Asked) -> float:
        if not asked.until_ns:
            return self.patience.hold
        left = (asked.until_ns - self.clock.monotonic_ns()) / NS - self.patience.margin
        return max(0.0, min(left, self.patience.hold))

    def _ask(
        self, asked: Asked, seen: Matter, element: Mapping[str, Json], at_ns: int
    ) -> asyncio.Task[Held | None] | None:
        """One session for each requirement of each call, however many ask; None where there is no place for it."""
        basis = self._basis(seen, str(element.get("prompt", "")))
        key = (asked.tenant, asked.call.digest, digest(element), basis)
        task = self._running.get(key)
        if task is None and self.sessions.take(asked):

            def over(_: object) -> None:
                del self._running[key]
                self.sessions.leave(asked)

            session = self._session(asked, seen, element, basis, at_ns)
            task = self._running[key] = asyncio.get_running_loop().create_task(session)
            task.add_done_callback(over)
        return task

    async def _session(
        self, asked: Asked, seen: Matter, element: Mapping[str, Json], basis: str, at_ns: int
    ) -> Held | None:
        """Ask, and make the answer durable, with the digest of the call that it is for: whoever hung up meanwhile
        finds it. None when it cannot be: then nobody has answered."""
        seconds = float(str(element["ttl_seconds"]))
        prompt = str(element.get("prompt", ""))
        opinion = await self.judge.opine(asked.tenant, prompt, seen, within_s=seconds)
        now = self.clock.now_ns()
        verdict = Verdict(opinion.status, opinion.verdict, opinion.confidence, opinion.prompt_sha256, opinion.model)
        made = judged(element, asked.call.digest, verdict, max(now, at_ns) + int(seconds * NS))
        answered = Answered(
            call_digest=asked.call.digest,
            requirement_sha256=digest(element),
            tenant=asked.tenant,
            kind="judge",
            element=canonical(made),
            expires_ns=int(str(made["expires_ns"])),
            created_ns=now,
            basis=basis,
            asker=asker(self.index_key, asked.tenant, asked.call),
            refused=opinion.verdict == "deny",
            subject_index=asked.subject_index,
            opinion=canonical(_told(opinion)),
        )
        salt = self.recorder.new_salt()
        try:
            entry = self.recorder.event(
                asked.tenant,
                "judge",
                lambda stamp: records.judged(stamp, answered, opinion, salt),
                (PutAnswer(answered),),
                now,
                values=lambda record_id: records.erasable(record_id, answered, opinion, salt),
            )
            await self.recorder.commit_all((replace(entry, call=asked.fresh),))
        except Conflict:  # a refusal stands, or the call has another digest: found when the call is asked again
            return None
        except Fault as fault:
            log.error("a verdict could not be recorded and is lost: %s", fault.code)
            return None
        return Held(made, answered)

    def _basis(self, seen: Matter, prompt: str) -> str:
        known = self.judge.prompts().get(prompt, "")
        return keyed_index(self.index_key, "basis", canonical(_plain(asdict(seen))).decode(), known)


class Absent:
    """Where no judge is configured: whatever is asked of one fails at once, and policy says what takes its place."""

    async def known(self, _asked: Asked, _at_ns: int, /) -> tuple[Held, ...]:
        """Nothing."""
        return ()

    async def gather(self, asked: Asked, opened: tuple[Mapping[str, Json], ...], at_ns: int, /) -> tuple[Held, ...]:
        """A failure for each; for this evaluation only, so that a judge who comes is asked."""
        nothing = Verdict("unavailable", None, None, "", "")
        return tuple(
            Held(judged(element, asked.call.digest, nothing, at_ns + int(str(element["ttl_seconds"])) * NS))
            for element in opened
            if element["kind"] == "judge"
        )


def matter(asked: Asked) -> Matter:
    """What the judge may see of a call: no user, no session, no secret that we know to be one."""
    facts, definition = asked.facts, asked.definition
    session, target = facts.session, facts.targets[0]
    clean = redacted(facts.arguments.value, asked.observation)
    schema = definition.get("inputSchema")
    return Matter(
        task=session.task or facts.asserted.task or "",
        task_source=session.task_source,
        agent=asked.call.agent,
        server=asked.call.server,
        tool=asked.call.tool,
        title=str(definition.get("title") or ""),
        description=str(definition.get("description") or ""),
        schema=schema if isinstance(schema, Mapping) else {},
        arguments=clean.arguments,
        labels=tuple(sorted({*session.labels, *target.labels})),
        observation=clean.observation,
        traits=Traits.of(target),
    )


def _told(opinion: Opinion) -> dict[str, Json]:
    """What people may read of it beside their own judgement."""
    return {
        "status": opinion.status,
        "verdict": opinion.verdict,
        "confidence": opinion.confidence,
        "violated": list(opinion.violated),
        "rationale": opinion.rationale,
        "model": opinion.model,
        "prompt_sha256": opinion.prompt_sha256,
    }


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
