"""The bounds of open requests, and what of them a requester leaves to others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class HeldRequests:
    """Open requests within a bound: of everybody, and of a requester's subject and agent. A canary is nobody's."""

    everybody: int = 0
    subject: int = 0
    agent: int = 0

    def and_more(self, opened: int) -> HeldRequests:
        """With some that this requester is about to open."""
        return replace(
            self, everybody=self.everybody + opened, subject=self.subject + opened, agent=self.agent + opened
        )

    def fits(self, most: int) -> bool:
        """Whether one more of the requester fits. The last quarter is for subjects that hold none, and half of that
        for those whose agent holds none either: so neither a few subjects nor one agent keep all others out."""
        free = most - self.everybody
        if self.subject:
            return 4 * free > most
        return 8 * free > most if self.agent else free > 0
