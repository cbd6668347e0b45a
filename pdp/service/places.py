"""Concurrency limiter: at most 75 % of the slots for one tenant, 50 % for one caller."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pdp.core.approvals.call import CallUnderDecision

_Whose = tuple[str, ...]  # everybody's, a tenant's, a caller's


@dataclass(slots=True)
class FairLimiter:
    """Counts who holds how many. Whoever takes one leaves it."""

    most: int
    _taken: Counter[_Whose] = field(default_factory=Counter)

    def take(self, asked: CallUnderDecision) -> bool:
        """Whether there is one for this call; it is then taken."""
        everybody, tenant, caller = whose = _whose(asked)
        quarters = {everybody: 4, tenant: 3, caller: 2}
        if any(self._taken[each] >= max(1, self.most * part // 4) for each, part in quarters.items()):
            return False
        self._taken.update(whose)
        return True

    def leave(self, asked: CallUnderDecision) -> None:
        """Give it back."""
        for each in _whose(asked):
            self._taken[each] -= 1
            if not self._taken[each]:
                del self._taken[each]


def _whose(asked: CallUnderDecision) -> tuple[_Whose, _Whose, _Whose]:
    return (), (asked.tenant,), (asked.tenant, asked.call.caller)
