"""Places that callers take for a while: so many at once, and one caller at most half, so that others have some."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pdp.core.approvals.asked import Asked


@dataclass(slots=True)
class Places:
    """Counts who holds how many. Whoever takes one leaves it."""

    most: int
    _taken: Counter[tuple[str, str]] = field(default_factory=Counter)

    def take(self, asked: Asked) -> bool:
        """Whether there is one for this call's caller; it is then taken."""
        who = _who(asked)
        if self._taken.total() >= self.most or self._taken[who] >= max(1, self.most // 2):
            return False
        self._taken[who] += 1
        return True

    def leave(self, asked: Asked) -> None:
        """Give it back."""
        who = _who(asked)
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


def _who(asked: Asked) -> tuple[str, str]:
    return asked.tenant, asked.call.caller
