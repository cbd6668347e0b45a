"""The fact of how often people are asked within an hour. Pure; `approvals.hourly_limits` counts it."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.bytes.digest import Json
from pdp.core.check import WORST_COUNT


@dataclass(frozen=True, slots=True)
class QuestionCount:
    """How often within the hour, and how often still. Where nothing limits it, `limit` is 0 and `left` the largest
    number."""

    asked: int = WORST_COUNT
    limit: int = 0
    left: int = 0

    @classmethod
    def of(cls, asked: int, limit: int, taken: int) -> QuestionCount:
        """`taken`: how much of the hour of the one who has most left."""
        return cls(asked, limit, max(0, limit - taken) if limit else WORST_COUNT)

    def fact(self) -> dict[str, Json]:
        return {"asked": self.asked, "limit": self.limit, "left": self.left}


@dataclass(frozen=True, slots=True)
class QuestionsFact:
    """What people are asked within the hour: by this requester (an agent for a subject), the subject itself, and the
    groups that have seats. The worst figures, and no group, where that was not read."""

    status: str = "unread"
    requester: QuestionCount = QuestionCount()
    subject: QuestionCount = QuestionCount()
    groups: tuple[tuple[str, QuestionCount], ...] = ()

    def fact(self) -> dict[str, Json]:
        return {
            "status": self.status,
            "requester": self.requester.fact(),
            "subject": self.subject.fact(),
            "groups": [{"id": group, **count.fact()} for group, count in self.groups],
        }


UNREAD = QuestionsFact()
NOT_ASKED = QuestionCount(0)
