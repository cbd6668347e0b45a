"""Watching: each change of a request that a person may see, as it comes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace

from pdp.core.approvals.directory import Person
from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import State
from pdp.core.approvals.view import ApprovalView
from pdp.core.errors import OutOfRange, Overloaded
from pdp.ports import Answers, Clock
from pdp.service.approvals.changes import Changes
from pdp.service.approvals.visibility import ApprovalFilter, Visibilities

MAX_WATCHERS = 256
MAX_PER_PERSON = 32  # so that no one person has all
MAX_PER_TENANT = 192  # and no people of one tenant
LIFE_SECONDS = 15.0  # a sign of life after this long without news
_PAGE = 128
_MAX_DIGITS = 19  # of int64


class Watchers:
    """`ApprovalService.WatchApprovals`, and the console's server-sent events."""

    def __init__(self, visibilities: Visibilities, store: Answers, changes: Changes, clock: Clock) -> None:
        self._visibilities = visibilities
        self._store = store
        self._changes = changes
        self._clock = clock
        self._watchers: Counter[tuple[str, str]] = Counter()

    async def watch(
        self, person: Person, wanted: ApprovalFilter, cursor: str
    ) -> AsyncGenerator[tuple[ApprovalView | None, str], None]:
        """Each change of a request that the person may see, as in a list, with the cursor to go on from; (None,
        cursor) is a sign of life. `cursor` "" begins now. A filter without states lets every state through.

        Raises OutOfRange for a cursor that is not this store's; Overloaded when too many watch.
        """
        wanted = replace(wanted, states=wanted.states or frozenset(State))
        number = self._start(cursor)
        whose = (person.tenant, person.human)
        tenants = sum(count for (tenant, _), count in self._watchers.items() if tenant == person.tenant)
        own = self._watchers[whose]
        if self._watchers.total() >= MAX_WATCHERS or tenants >= MAX_PER_TENANT or own >= MAX_PER_PERSON:
            raise Overloaded("watch.overloaded", "Too many watch at once; list from time to time instead.")
        self._watchers[whose] += 1
        try:
            with self._changes.waiting(person.tenant, None) as waiter:
                news: tuple[tuple[int, Approval], ...] = ()
                while news := self._store.changes(person.tenant, number, _PAGE):
                    number = news[-1][0]
                    for change, view in await asyncio.to_thread(self._seen, person, wanted, news):
                        yield view, str(change)
                while True:
                    # what was told from the store may come by once more
                    news = tuple(each for each in await waiter.wait(LIFE_SECONDS) if each[0] > number)
                    if not news:
                        yield None, str(number)
                        continue
                    number = news[-1][0]
                    for change, view in await asyncio.to_thread(self._seen, person, wanted, news):
                        yield view, str(change)
        finally:
            self._watchers[whose] -= 1
            if not self._watchers[whose]:
                del self._watchers[whose]

    def _start(self, cursor: str) -> int:
        latest = self._changes.last()
        if not cursor:
            return latest
        known = cursor.isascii() and cursor.isdigit() and len(cursor) <= _MAX_DIGITS and int(cursor) <= latest
        if not known:
            raise OutOfRange("watch.cursor", "The cursor is not one of this log; list again, then watch without one.")
        return int(cursor)

    def _seen(
        self, person: Person, wanted: ApprovalFilter, news: tuple[tuple[int, Approval], ...]
    ) -> list[tuple[int, ApprovalView]]:
        """Those that this person may see. In a thread."""
        visibility = self._visibilities.of(person, self._clock.now_ns())
        numbers = {approval.id: change for change, approval in news}
        found = visibility.listed((approval for _, approval in news), wanted)
        return [(numbers[view.approval.id], view) for view in found]
