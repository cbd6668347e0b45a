"""How often one caller's requests may cost a policy worker: a pattern of them would starve everybody else."""

from __future__ import annotations

from collections import deque

from pdp.core.check import NS
from pdp.core.errors import Overloaded
from pdp.core.outcome import Outcome
from pdp.core.request import Caller

WINDOW_NS = 60 * NS
KILLS = frozenset({"policy.timeout", "policy.crashed"})


class WorkerCrashQuota:
    """Counts workers lost per caller (`callers.<name>.max_worker_kills_per_minute`)."""

    def __init__(self) -> None:
        self._kills: dict[tuple[str, str], deque[int]] = {}

    def check(self, caller: Caller, at_ns: int) -> None:
        """Raises Overloaded (`caller.worker_kills`) while the caller is beyond its quota."""
        kills = self._kills.get((caller.tenant, caller.name))
        if kills is None:
            return
        while kills and kills[0] <= at_ns - WINDOW_NS:
            kills.popleft()
        if len(kills) > caller.max_worker_kills_per_minute:
            raise Overloaded(
                "caller.worker_kills", "Requests of this caller cost too many policy workers; ask again in a minute."
            )

    def note(self, caller: Caller, outcome: Outcome, at_ns: int) -> None:
        """Count the outcome if it cost a worker."""
        if any(reason.rule == "service" and reason.code in KILLS for reason in outcome.reasons):
            self._kills.setdefault((caller.tenant, caller.name), deque()).append(at_ns)
