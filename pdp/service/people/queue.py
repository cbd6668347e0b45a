"""The queue: which requests a person may see, and one of them as it is to be judged."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pdp.core.approvals import records
from pdp.core.approvals.people import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.states import OPEN, State
from pdp.core.approvals.view import ApprovalView
from pdp.ports import Answers, Clock
from pdp.service.people.attention import Attention
from pdp.service.people.looking import ApprovalFilter, Looking, sighting
from pdp.service.record import Recorder

__all__ = ["ApprovalFilter", "Queue"]

_MOST_ROWS = 2_000  # looked at for one page; a page may end early, and the next goes on


class Queue:
    """`ApprovalService.ListApprovals` and `GetApproval`, and the console's queue, history and request page."""

    def __init__(
        self, looking: Looking, store: Answers, recorder: Recorder, clock: Clock, attention: Attention
    ) -> None:
        self._looking = looking
        self._store = store
        self._recorder = recorder
        self._clock = clock
        self._attention = attention

    async def list(self, person: Person, wanted: ApprovalFilter, page: Page) -> tuple[tuple[ApprovalView, ...], str]:
        """A page of the requests that the person may see, without what only one at a time shows (`shown` is None,
        no rows), and the `after` of the next page; "" on the last. A page may be shorter than its size."""
        return await asyncio.to_thread(self._list, person, wanted, page)

    async def get(self, person: Person, approval_id: str) -> ApprovalView:
        """One request, complete; the read is recorded. Raises NotFound, in the same words for unknown and not
        this person's to see."""
        at = self._clock.now_ns()
        viewer = self._looking.by(person, at)
        approval = viewer.approval(approval_id)
        found = viewer.complete(approval)
        await self._recorder.people(
            person.tenant, "read", lambda stamp: records.read(stamp, person, approval), sighting(person, at), at
        )
        if found.may_vote:
            self._attention.looked(person, approval_id, at)
        return found

    def _list(self, person: Person, wanted: ApprovalFilter, page: Page) -> tuple[tuple[ApprovalView, ...], str]:
        at = self._clock.now_ns()
        wanted = replace(wanted, states=wanted.states or OPEN)
        # what has expired may not have been written down yet
        asked = replace(wanted, states=wanted.states | (OPEN if State.EXPIRED in wanted.states else frozenset()))
        viewer = self._looking.by(person, at)
        query = viewer.query(asked)
        found: list[ApprovalView] = []
        after, looked = page.after, 0
        while True:
            # a list by `mine` leaves out some; all others hardly any
            size = (2 if wanted.mine else 1) * (page.size + 1 - len(found))
            rows = self._store.approvals(query, Page(size, after))
            for each in viewer.listed(rows, wanted):
                if len(found) == page.size:
                    return tuple(found), found[-1].approval.id
                found.append(each)
            looked += len(rows)
            if len(rows) < size:
                return tuple(found), ""
            after = rows[-1].id
            if looked >= _MOST_ROWS:
                return tuple(found), after
