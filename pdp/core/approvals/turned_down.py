"""Like calls that people refused lately, or that were taken back: a fact for policy, a word to those who are asked
next, and a reason to let an agent wait. Pure.

Calls are alike that have subject, agent, server and tool in common: with arguments or session, a refused agent would
ask again with a dot more. They count for a day (`REFUSALS_NS`), as the judge's refusals do.
"""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.approvals.rows import Vote
from pdp.core.check import NS

# Why a request ended that counts: what a switch or the clock ended says nothing of the call.
REFUSED = ("approval.denied", "approval.revoked")
WITHDRAWN = "approval.cancelled"

LONGEST_NS = 4 * 3600 * NS
_DOUBLINGS = 16  # far beyond the longest


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """Counts of refused and withdrawn like calls, and the last instant (Unix nanoseconds; 0: never)."""

    refusals: int = 0
    withdrawals: int = 0
    last_ns: int = 0


NEVER = TurnedDown()


@dataclass(frozen=True, slots=True)
class Earlier:
    """The hint for approvers. `vote` is the last refusal, where the person may see it."""

    refusals: int
    withdrawals: int
    vote: Vote | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """So many may be turned down without a wait; the next one waits for `first_ns`, and each further one twice as
    long as the one before, four hours at most; and as long as one waits for people, no other is asked about. A
    `first_ns` of 0: no wait."""

    after: int = 2
    first_ns: int = 300 * NS

    def alone(self, turned_down: TurnedDown) -> bool:
        """Whether like calls are asked about one at a time, because parallel ones would not wait."""
        return self.first_ns > 0 and turned_down.refusals + turned_down.withdrawals > self.after

    def until(self, turned_down: TurnedDown) -> int:
        """The instant from which people are asked about one more like call."""
        beyond = turned_down.refusals + turned_down.withdrawals - self.after
        if beyond <= 0:
            return 0
        wait = self.first_ns << min(beyond - 1, _DOUBLINGS)
        return turned_down.last_ns + min(wait, LONGEST_NS)


USUAL = Backoff()
