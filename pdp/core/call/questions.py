"""The hourly counts of requests to people, as a fact. Pure; `approvals.hourly_limits` counts."""

from __future__ import annotations

from dataclasses import dataclass

from pdp.core.bytes.digest import Json
from pdp.core.check import WORST_COUNT


@dataclass(frozen=True, slots=True)
class QuestionCount:
    """Requests within the hour, and how many are left. Without a limit, `limit` is 0 and `left` the largest
    number."""

    asked: int = WORST_COUNT
    limit: int = 0
    left: int = 0

    @classmethod
    def of(cls, asked: int, limit: int, taken: int) -> QuestionCount:
        """`taken`: the count of the person with most left."""
        return cls(asked, limit, max(0, limit - taken) if limit else WORST_COUNT)

    def fact(self) -> dict[str, Json]:
        return {"asked": self.asked, "limit": self.limit, "left": self.left}


@dataclass(frozen=True, slots=True)
class QuestionsFact:
    """The requests to people within the hour: by this requester (an agent for a subject), to the subject, and to
    groups with seats. The worst figures, and no group, where they were not read."""

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
