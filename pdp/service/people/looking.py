"""What a person may see of requests, and how one looks to that person now. Every list, page and stream asks here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from pdp.core.approvals.count import wanted_by
from pdp.core.approvals.people import Directory, Person, Standing
from pdp.core.approvals.queries import ApprovalQuery
from pdp.core.approvals.rows import Account, Approval, Seen, Vote
from pdp.core.approvals.states import OPEN, State
from pdp.core.approvals.steps import See
from pdp.core.approvals.view import ApprovalView, view
from pdp.core.errors import NotFound
from pdp.ports import Answers
from pdp.service.escalate import People

SEES_ALL = frozenset({"operate", "audit"})


@dataclass(frozen=True, slots=True)
class ApprovalFilter:
    """What is listed or watched. Fields are combined by and, the values of a set by or; empty ones do not narrow,
    but for `states`: a list then has the open ones, a stream all. Instants are Unix nanoseconds, `opened_to_ns` is
    excluded."""

    states: frozenset[State] = frozenset()
    kinds: frozenset[str] = frozenset()
    server: str = ""
    tool: str = ""
    subject: Account | None = None
    agent: str = ""
    mine: bool = False  # only those on which this person may vote now
    opened_from_ns: int = 0
    opened_to_ns: int = 0
    newest_first: bool = False


class Looking:
    """Reads for one person. Synchronous: what goes through many rows is called in a thread."""

    def __init__(self, store: Answers, people: People) -> None:
        self._store = store
        self._people = people

    def directory(self, tenant: str) -> Directory:
        """The tenant's people and groups now."""
        return self._people.directories.of(tenant)

    def standing(self, person: Person, votes: tuple[Vote, ...], at_ns: int) -> Standing:
        """What counting these votes, and one of this person, rests on."""
        found = self._people.standing(person.tenant, votes, at_ns)
        seen: Mapping[Account, Seen] = {**found.seen, person.account: sight(person, at_ns)}
        return replace(found, seen=seen) if person.claimed else found

    def groups(self, person: Person, at_ns: int) -> frozenset[str]:
        """Groups by id for whose seats this person may act: its own, and those of whom it stands in for."""
        directory = self.directory(person.tenant)
        held = directory.groups(person.human) | (person.claimed & directory.claimable)
        for found in self._store.delegations(person.tenant, at_ns):
            if found.deputy == person.human and found.from_ns <= at_ns:
                held |= directory.groups(found.absent)
        return held

    def accounts(self, person: Person) -> tuple[Account, ...]:
        """All accounts of this human."""
        member = self.directory(person.tenant).members.get(person.human)
        known = member.accounts if member is not None else ()
        return known if person.account in known else (*known, person.account)

    def query(self, person: Person, wanted: ApprovalFilter, at_ns: int) -> ApprovalQuery:
        """The filter, narrowed to what the person may see."""
        whole = bool(person.roles & SEES_ALL)
        return ApprovalQuery(
            tenant=person.tenant,
            states=wanted.states,
            kinds=wanted.kinds,
            server=wanted.server,
            tool=wanted.tool,
            subject=wanted.subject,
            agent=wanted.agent,
            groups=None if whole else self.groups(person, at_ns),
            involved=self.accounts(person),
            opened_from_ns=wanted.opened_from_ns,
            opened_to_ns=wanted.opened_to_ns,
            newest_first=wanted.newest_first,
        )

    def approval(self, person: Person, approval_id: str, at_ns: int) -> Approval:
        """The row, as it stands now. Raises NotFound, in the same words for unknown and not this person's to see."""
        found = self._store.approval(person.tenant, approval_id)
        if found is None or not self._may_see(person, found, at_ns):
            raise NotFound("approval.unknown", "There is no such request.")
        return as_of(found, at_ns)

    def listed(self, person: Person, approval: Approval, wanted: ApprovalFilter, at_ns: int) -> ApprovalView | None:
        """The request as in a list; None when the filter or the person's rights leave it out."""
        approval = as_of(approval, at_ns)
        if not _matches(wanted, approval) or not self._may_see(person, approval, at_ns):
            return None
        found = self.summary(person, approval, at_ns)
        return None if found is None or (wanted.mine and not found.may_vote) else found

    def summary(self, person: Person, approval: Approval, at_ns: int) -> ApprovalView | None:
        """The request as in a list: without arguments, task and the reasons of votes."""
        votes = self._store.votes(approval.id)
        return view(approval, None, votes, person, self.standing(person, votes, at_ns))

    def complete(self, person: Person, approval: Approval, at_ns: int) -> ApprovalView:
        """The request as it is to be judged. Raises NotFound for one that this release cannot read."""
        votes, call = self._store.votes(approval.id), approval.call
        shown = self._store.shown(approval.id)
        previous = self._store.last_redeemed(approval.tenant, call.agent, call.server, call.tool)
        found = view(approval, shown, votes, person, self.standing(person, votes, at_ns), previous)
        if found is None:
            raise NotFound("approval.unknown", "There is no such request.")
        return found

    def _may_see(self, person: Person, approval: Approval, at_ns: int) -> bool:
        if person.roles & SEES_ALL or approval.call.subject in self.accounts(person):
            return True
        wanted = wanted_by(approval.requirement)
        seats = frozenset(seat.group_id for seat in wanted.seats) if wanted is not None else frozenset[str]()
        return bool(seats) and not seats.isdisjoint(self.groups(person, at_ns))


def sight(person: Person, at_ns: int) -> Seen:
    """What the person's claims say now."""
    return Seen(person.tenant, person.account, person.name, tuple(sorted(person.claimed)), at_ns)


def sighting(person: Person, at_ns: int) -> tuple[See, ...]:
    """To be committed with whatever the person does: votes by claimed groups count as long as they are seen."""
    return (See(sight(person, at_ns)),) if person.claimed else ()


def as_of(approval: Approval, at_ns: int) -> Approval:
    """The row as it stands: an open request whose time is over has expired, whether or not that was written down."""
    if approval.state in OPEN and approval.expires_ns <= at_ns:
        return replace(approval, state=State.EXPIRED, resolved_ns=approval.expires_ns, resolution="approval.expired")
    return approval


def _matches(wanted: ApprovalFilter, approval: Approval) -> bool:
    call = approval.call
    sets = ((wanted.states, approval.state), (wanted.kinds, approval.kind))
    words = ((wanted.server, call.server), (wanted.tool, call.tool), (wanted.agent, call.agent))
    return (
        all(not allowed or value in allowed for allowed, value in sets)
        and all(not word or word == value for word, value in words)
        and wanted.subject in (None, call.subject)
        and wanted.opened_from_ns <= approval.opened_ns
        and (not wanted.opened_to_ns or approval.opened_ns < wanted.opened_to_ns)
    )
