"""The queue: which requests a person may see, and one of them as it is to be judged."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import replace

from pdp.core.approvals import records
from pdp.core.approvals.directory import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import OPEN, State
from pdp.core.approvals.view import ApprovalView
from pdp.core.errors import Overloaded
from pdp.ports import Answers, Clock
from pdp.service.approvals.approver_metrics import ApproverMetrics
from pdp.service.approvals.visibility import ApprovalFilter, Visibilities, claims_step
from pdp.service.commit import Recorder

__all__ = ["ApprovalFilter", "Queue"]

MAX_VIEWS = 4  # requests made ready to be read at once
MAX_WAITING = 64
MAX_WAITING_OF_ONE = 8  # of one person
_MOST_ROWS = 2_000  # looked at for one page; a page may end early, and the next goes on


class Room:
    """Room for so much heavy work at once; what comes besides waits, up to a bound for all and for each."""

    def __init__(self, most: int, waiting: int, waiting_of_one: int) -> None:
        self._places = asyncio.Semaphore(most)
        self._bounds = (waiting, waiting_of_one)
        self._inside: Counter[Hashable] = Counter()  # waiting or at work, by whose it is

    @asynccontextmanager
    async def of(self, whose: Hashable) -> AsyncIterator[None]:
        """Wait for a place. Raises Overloaded where too many wait already, or too many of the same."""
        if self._inside.total() >= self._bounds[0] or self._inside[whose] >= self._bounds[1]:
            raise Overloaded("approval.views", "Too many requests are being read at once; try again in a moment.")
        self._inside[whose] += 1
        try:
            async with self._places:
                yield
        finally:
            self._inside[whose] -= 1
            if not self._inside[whose]:
                del self._inside[whose]


class Queue:
    """`ApprovalService.ListApprovals` and `GetApproval`, and the console's queue, history and request page."""

    def __init__(
        self, visibilities: Visibilities, store: Answers, recorder: Recorder, clock: Clock, metrics: ApproverMetrics
    ) -> None:
        self._visibilities = visibilities
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._metrics = metrics
        self._room = Room(MAX_VIEWS, MAX_WAITING, MAX_WAITING_OF_ONE)

    async def list(self, person: Person, wanted: ApprovalFilter, page: Page) -> tuple[tuple[ApprovalView, ...], str]:
        """A page of the requests that the person may see, without what only one at a time shows (`shown` is None,
        no rows), and the `after` of the next page; "" on the last. A page may be shorter than its size."""
        return await asyncio.to_thread(self._list, person, wanted, page)

    async def get(self, person: Person, approval_id: str) -> ApprovalView:
        """One request, complete; the read is recorded. Raises NotFound, in the same words for unknown and not
        this person's to see; Overloaded where many are being read at once."""
        at = self._clock.now_ns()
        async with self._room.of((person.tenant, person.human)):
            approval, found = await asyncio.to_thread(self._get, person, approval_id, at)
        await self._recorder.commit_event(
            person.tenant, "read", lambda stamp: records.read(stamp, person, approval), claims_step(person, at), at
        )
        if found.may_vote:
            self._metrics.looked(person, approval_id, at)
        return found

    def _get(self, person: Person, approval_id: str, at_ns: int) -> tuple[Approval, ApprovalView]:
        """In a thread: arguments of a quarter of a megabyte take a while."""
        visibility = self._visibilities.of(person, at_ns)
        approval = visibility.approval(approval_id)
        return approval, visibility.complete(approval)

    def _list(self, person: Person, wanted: ApprovalFilter, page: Page) -> tuple[tuple[ApprovalView, ...], str]:
        at = self._clock.now_ns()
        wanted = replace(wanted, states=wanted.states or OPEN)
        # what has expired may not have been written down yet
        asked = replace(wanted, states=wanted.states | (OPEN if State.EXPIRED in wanted.states else frozenset()))
        visibility = self._visibilities.of(person, at)
        query = visibility.query(asked)
        found: list[ApprovalView] = []
        after, looked = page.after, 0
        while True:
            # a list by `mine` leaves out some; all others hardly any
            size = (2 if wanted.mine else 1) * (page.size + 1 - len(found))
            rows = self._store.approvals(query, Page(size, after))
            for each in visibility.listed(rows, wanted):
                if len(found) == page.size:
                    return tuple(found), found[-1].approval.id
                found.append(each)
            looked += len(rows)
            if len(rows) < size:
                return tuple(found), ""
            after = rows[-1].id
            if looked >= _MOST_ROWS:
                return tuple(found), after
