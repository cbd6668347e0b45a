"""A budget for people: how often one approver is asked within an hour, and how often one requester asks. Pure.

A request asks everybody who may answer it: each member of a group that has a seat, or the subject whose own word is
wanted. It counts for an hour from its opening, whatever came of it. A canary counts for those who are asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pdp.core.approvals.directory import Directory
from pdp.core.approvals.quorum import is_party
from pdp.core.approvals.requirement import Requirement
from pdp.core.approvals.rows import Account, Call
from pdp.core.check import NS

WINDOW_NS = 3600 * NS
APPROVER, REQUESTER = "approver", "requester"


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
