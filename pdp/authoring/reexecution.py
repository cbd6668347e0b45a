"""Re-execution: a recorded decision, evaluated again with nothing of the service but its policy.

The bundle is the one that the record names by digest; the engine is whichever is chosen. A deadline is generous here,
since whether a machine is fast enough now says nothing of the decision.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from pdp.core.errors import BundleFault, ConfigurationFault, EngineFault
from pdp.core.outcome import Outcome
from pdp.core.policy import Bundle
from pdp.policy import gate
from pdp.policy.bundle import named_by_digest
from pdp.policy.embedded.engine import EngineHost
from pdp.policy.embedded.options import EmbeddedOptions, PoolOptions
from pdp.policy.opa.options import OpaOptions
from pdp.policy.source import OTHER_RELEASE, Host, KeptBundles, deciding_host
from pdp.ports import Entropy, LoadedPolicy
from pdp.service.replay import NotReplayable, RecordedDecision, by_service, failed, replay, same

DEADLINE_MS = 30_000
AT_ONCE = 3  # engines that are kept up; each is a process or more
_OPA_NEEDED = "--engine opa: there is no such program; give --opa PATH."


@dataclass(frozen=True, slots=True)
class Reexecuted:
    """A decision evaluated again: the effect that it came to, and whether all of it is as recorded."""

    outcome: Outcome
    same: bool


@dataclass(slots=True)
class Policies:
    """Policies as they were recorded, each on an engine of its own. `artefact` gives a bundle by digest, None for one
    that is not there."""

    host: Host
    artefact: Callable[[str], bytes | None]
    guarded: bool  # whether a bundle must pass the load gate first: this engine would let it call out
    _open: dict[tuple[str, str], LoadedPolicy | NotReplayable] = field(default_factory=dict)

    async def of(self, decision: RecordedDecision) -> LoadedPolicy | NotReplayable:
        """The policy of a decision."""
        key = _pinned(decision)
        if key not in self._open:
            found = await self._opened(*key)
            if len(self._open) >= AT_ONCE:
                await self._close(next(iter(self._open)))
            self._open[key] = found
        return self._open[key]

    async def _opened(self, digest: str, revision: str) -> LoadedPolicy | NotReplayable:
        data = self.artefact(digest)
        if data is None:
            return NotReplayable("replay.policy")
        try:
            bundle = named_by_digest(data, digest, revision)
        except BundleFault:
            return NotReplayable("replay.bundle")
        return await self.load(bundle)

    async def load(self, bundle: Bundle) -> LoadedPolicy | NotReplayable:
        """The policy of a bundle; its engine ends with this."""
        if self.guarded and bundle.one_step:
            return NotReplayable("replay.release")
        if self.guarded and not (await asyncio.to_thread(gate.check, bundle)).ok:
            return NotReplayable("replay.gate")
        try:
            return await KeptBundles(self.host).open(bundle.to_bytes())
        except (BundleFault, EngineFault) as fault:
            return NotReplayable("replay.release" if fault.code == OTHER_RELEASE else "replay.engine")

    async def _close(self, key: tuple[str, str]) -> None:
        closed = self._open.pop(key)
        if isinstance(closed, LoadedPolicy):
            await closed.engine.close()


def program(engine: str, opa: str | None) -> Path | None:
    """The OPA to start; None for the embedded engine. Raises ConfigurationFault `engine.binary`."""
    if engine != "opa":
        return None
    found = shutil.which(opa or "opa")
    if found is None:
        raise ConfigurationFault("engine.binary", _OPA_NEEDED)
    return Path(found)


@asynccontextmanager
async def policies(
    artefact: Callable[[str], bytes | None], entropy: Entropy, opa: Path | None = None, workers: int | None = None
) -> AsyncIterator[Policies]:
    """Policies on the embedded engine, or on that OPA."""
    pool = PoolOptions(deadline_ms=DEADLINE_MS, patience_ms=2 * DEADLINE_MS)
    embedded = EmbeddedOptions(pool=pool) if workers is None else EmbeddedOptions(pool=pool, workers=workers)
    host: Host
    if opa is None:
        host = EngineHost(embedded)
    else:
        options = OpaOptions.model_validate({"binary": opa, "deadline_ms": DEADLINE_MS})
        host = deciding_host(options, embedded, entropy, b"", 1.0, lambda _: None)
    try:
        yield Policies(host, artefact, guarded=opa is not None)
    finally:
        await host.close()


async def reexecute(
    found: Policies, decisions: Sequence[RecordedDecision | NotReplayable]
) -> list[Reexecuted | NotReplayable]:
    """Evaluate decisions again, each under its own policy; those that follow each other under one, at once."""
    results: list[Reexecuted | NotReplayable] = []
    for _, those in groupby(decisions, key=_pinned):
        together = list(those)
        policy: LoadedPolicy | NotReplayable | None = None
        for each in together:
            if policy is None and isinstance(each, RecordedDecision) and not by_service(each.record):
                policy = await found.of(each)
        results += await asyncio.gather(*(_reexecuted(policy, each) for each in together))
    return results


def _pinned(decision: RecordedDecision | NotReplayable) -> tuple[str, str]:
    """The policy of a decision, as `Policies` knows it."""
    if isinstance(decision, NotReplayable):
        return "", ""
    return decision.policy, str(decision.record["policy"]["revision"])


async def _reexecuted(
    policy: LoadedPolicy | NotReplayable | None, decision: RecordedDecision | NotReplayable
) -> Reexecuted | NotReplayable:
    if isinstance(decision, NotReplayable):
        return decision
    if policy is None or by_service(decision.record):
        return NotReplayable("replay.service")
    if isinstance(policy, NotReplayable):
        return policy
    outcome, _ = await replay(policy, decision)
    if failed(outcome):
        return NotReplayable("replay.engine")
    return Reexecuted(outcome, same(outcome, decision.record))


def differences(outcome: Outcome, record: Mapping[str, Any]) -> str:
    """A sentence on the first thing in which a replay differs from its record."""
    if outcome.effect.value != record["effect"]:
        return f"it comes to {outcome.effect.value}, and {record['effect']} was recorded"
    then = sorted({r["code"] for r in record["reasons"]})
    now = sorted({r.code for r in outcome.reasons})
    if then != now:
        return f"the reasons are {', '.join(now)}, and {', '.join(then)} were recorded"
    return "requirements or obligations are others than were recorded"
