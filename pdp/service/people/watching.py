"""Waiting for changes without asking for them: one look at the store each second for everybody who waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

from pdp.core.approvals.people import Person
from pdp.core.approvals.view import ApprovalView
from pdp.ports import Answers
from pdp.service.people.queue import ApprovalFilter


class Changes:
    """The hub. Woken by every commit of this process that has steps; other processes' are noticed by a look at the
    store each second, as long as anybody waits."""

    def __init__(self, store: Answers, *, look_seconds: float = 1.0) -> None:
        self._store = store
        self._look_seconds = look_seconds

    def wake(self) -> None:
        """Something may have changed. From the event loop's thread."""
        raise NotImplementedError

    async def after(self, number: int, timeout_seconds: float) -> int:
        """The greatest change number once it is beyond `number`, or when the time is over."""
        raise NotImplementedError


class Watching:
    """`ApprovalService.WatchApprovals`, and the console's server-sent events."""

    def watch(
        self, person: Person, wanted: ApprovalFilter, cursor: str
    ) -> AsyncIterator[tuple[ApprovalView | None, str]]:
        """Each change of a request that the person may see, as in a list, with the cursor to go on from; (None,
        cursor) is a sign of life. `cursor` "" begins now. A filter without states lets every state through.

        Raises OutOfRange for a cursor of another store; Overloaded when too many watch.
        """
        raise NotImplementedError
