"""A budget for people: how often one approver is asked within an hour, and how often one requester asks. Pure.

A request asks everybody who may answer it: each member of a group that has a seat, or the subject whose own word is
wanted. It counts for an hour from its opening, whatever came of it. A canary counts for those who are asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pdp.core.approvals.directory import Directory
from pdp.core.approvals.quorum import is_party
from pdp.core.approvals.requirement import Requirement
from pdp.core.approvals.rows import Account, Call
from pdp.core.check import NS, WORST_COUNT
from pdp.core.digest import Json

WINDOW_NS = 3600 * NS
APPROVER, REQUESTER = "approver", "requester"
MOST_GROUPS = 200  # of a fact: those with the least left


@dataclass(frozen=True, slots=True)
class HourlyLimits:
    """The most requests within an hour; 0: no limit."""

    per_approver: int = 0
    per_requester: int = 0

    @property
    def any(self) -> bool:
        return bool(self.per_approver or self.per_requester)


@dataclass(frozen=True, slots=True)
class Question:
    """A request as it counts. `groups` have its seats; without any it is the subject's own to answer."""

    opened_ns: int
    subject: Account
    agent: str
    groups: frozenset[str]
    canary: bool = False


@dataclass(frozen=True, slots=True)
class Questioned:
    """Whom a new request would ask, and in whose name. `approvers` are their groups, each set once: who is in the
    same groups was asked the same."""

    subject: Account
    agent: str
    approvers: frozenset[frozenset[str]]

    @classmethod
    def by(cls, need: Requirement, call: Call, directory: Directory) -> Questioned:
        """Those whom a requirement asks. A group that claims may name has members that the directory does not know,
        so each group counts as one of them."""
        groups = frozenset(seat.group_id for seat in need.seats)
        members = (
            member.groups
            for human, member in directory.members.items()
            if member.active and not member.groups.isdisjoint(groups) and not is_party(call, directory, human)
        )
        return cls(call.subject, call.agent, frozenset((*members, *(frozenset({group}) for group in groups))))


@dataclass(frozen=True, slots=True)
class QuestionCount:
    """How often within the hour, and how often still. Where nothing limits it, `limit` is 0 and `left` the largest
    number."""

    asked: int = WORST_COUNT
    limit: int = 0
    left: int = 0

    @classmethod
    def of(cls, asked: int, limit: int, fullest: int = 0) -> QuestionCount:
        """`fullest`: how often the one was asked who was asked most, if not `asked`."""
        return cls(asked, limit, max(0, limit - max(asked, fullest)) if limit else WORST_COUNT)

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


def counted(
    limits: HourlyLimits, asked: Iterable[Question], subject: Account, agent: str, directory: Directory, at_ns: int
) -> QuestionsFact:
    """The fact of one call."""
    recent = [each for each in asked if each.opened_ns > at_ns - WINDOW_NS]
    mine = sum((q.subject, q.agent, q.canary) == (subject, agent, False) for q in recent)
    own = sum(not q.groups and q.subject == subject for q in recent)
    return QuestionsFact(
        "ok",
        QuestionCount.of(mine, limits.per_requester),
        QuestionCount.of(own, limits.per_approver),
        groups_asked(limits, recent, directory),
    )


def groups_asked(
    limits: HourlyLimits, recent: Collection[Question], directory: Directory
) -> tuple[tuple[str, QuestionCount], ...]:
    """How often each group was asked within the hour. One with a member who was asked through another group has less
    left, and is here too."""
    asked = Counter(group for q in recent for group in q.groups)
    members = {member.groups for member in directory.members.values() if member.active} if asked else set()
    fullest: dict[str, int] = {}
    for groups in members:
        times = sum(not q.groups.isdisjoint(groups) for q in recent)
        for group in groups if times else ():
            fullest[group] = max(times, fullest.get(group, 0))
    counts = {
        group: QuestionCount.of(asked[group], limits.per_approver, fullest.get(group, 0))
        for group in {*asked, *fullest}
    }
    return tuple(sorted(counts.items(), key=lambda each: (each[1].left, -each[1].asked, each[0]))[:MOST_GROUPS])


def too_many(
    limits: HourlyLimits, asked: Iterable[Question], wanted: Questioned, at_ns: int
) -> tuple[str, int] | None:
    """Whose hour is full, and until when; None where everybody may be asked once more. Where several are full, the
    approver who has to be left alone longest."""
    recent = sorted((each for each in asked if each.opened_ns > at_ns - WINDOW_NS), key=lambda each: each.opened_ns)
    until = 0
    if limits.per_approver:
        until = max((_free_at(limits.per_approver, times) for times in _times(recent, wanted)), default=0)
    if until:
        return APPROVER, until
    mine = [q.opened_ns for q in recent if (q.subject, q.agent, q.canary) == (wanted.subject, wanted.agent, False)]
    until = _free_at(limits.per_requester, mine) if limits.per_requester else 0
    return (REQUESTER, until) if until else None


def _times(recent: list[Question], wanted: Questioned) -> Iterable[list[int]]:
    """When each of those was asked who would be asked now."""
    if not wanted.approvers:
        yield [q.opened_ns for q in recent if not q.groups and q.subject == wanted.subject]
    for groups in wanted.approvers:
        yield [q.opened_ns for q in recent if not q.groups.isdisjoint(groups)]


def _free_at(most: int, times: list[int]) -> int:
    """When there is room for one more; 0 where there is."""
    return times[-most] + WINDOW_NS if len(times) >= most else 0
