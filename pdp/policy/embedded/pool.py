"""The pool: a bounded queue of questions, workers that take them in batches, and who is blamed when one dies.

One batch is in flight per worker; what arrives meanwhile travels together in the next. Alone in an idle pool a
question leaves at once; only right after a batch of several may the next one linger for as much company.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable

from pdp.core.decide import Question
from pdp.core.errors import EngineFault, Overloaded
from pdp.policy.embedded import faults, wire
from pdp.policy.embedded.link import Item, Link
from pdp.policy.embedded.options import Counters, PoolOptions
from pdp.policy.embedded.progress import Progress

_HELLO_SECONDS = 2.0  # a fork takes milliseconds


class Pool:
    """Dispatches questions over links. It does not start workers: `wanted` is called when one more is needed.

    `condemn` has a worker killed; the pool goes on when its link is lost.
    """

    def __init__(
        self,
        options: PoolOptions,
        counters: Counters,
        *,
        wanted: Callable[[], None],
        condemn: Callable[[Link], None],
        on_kill: Callable[[str], None],
    ) -> None:
        self._options = options
        self._counters = counters
        self._wanted = wanted
        self._condemn = condemn
        self._on_kill = on_kill
        self._loop = asyncio.get_running_loop()
        self._nonces = itertools.count(1)
        self._queue: deque[Item] = deque()
        self._queued_bytes = 0
        self._again: deque[Item] = deque()  # neighbours of the dead, evaluated one by one
        self._idle: deque[Link] = deque()
        self._links: set[Link] = set()  # alive and not condemned
        self._dispatching: asyncio.Handle | None = None
        self._lingering = False  # `_dispatching` waits for company
        self._idle_since, self._expected = 0.0, 1  # the last batch's end, and its length
        self._sweeper: asyncio.TimerHandle | None = None
        self.failed_starts = 0  # workers in a row that died before their hello
        self.refusing = False  # no worker can be had: fail at once rather than after `patience_ms`
        self.started = asyncio.Event()  # the first worker is up

    @property
    def size(self) -> int:
        """Workers alive or starting."""
        return len(self._links)

    @property
    def up(self) -> int:
        """Workers that answer."""
        return sum(link.up for link in self._links)

    async def evaluate(self, asked: Question) -> bytes:
        """JSON of `data.pdp.decision` for the question. Raises EngineFault; Overloaded when the queue is full."""
        if self.refusing:
            raise EngineFault(*faults.UNAVAILABLE)
        size = len(asked.document)
        if size > self._options.cap(asked.phase):
            raise EngineFault(*faults.TOO_LARGE)
        if self._full(size):
            raise Overloaded("overload.policy", "Too many calls wait for the policy engine; try again later.")
        item = Item(next(self._nonces), asked, self._loop.time(), self._loop.create_future())
        self._queue.append(item)
        self._queued_bytes += size
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(self._options.patience_ms / 1000, self._sweep)
        self._dispatch_soon()
        return await item.answer

    def adopt(self, ident: int, bundle: bytes, progress: Progress, frame_bytes: int) -> Link:
        """A link for a new worker, to be connected by the caller."""
        link = Link(ident, bundle, progress, self, wire.Frames(frame_bytes))
        self._links.add(link)
        link.timer = self._loop.call_later(_HELLO_SECONDS, self._kill, link, "stalled")
        return link

    def abandon(self, link: Link) -> None:
        """Forget an adopted link that could not be connected."""
        link.condemned = "closed"
        link.stop_timer()
        self._links.discard(link)

    def refuse(self) -> None:
        """Fail everything that waits, and whatever comes until `refusing` is reset."""
        self.refusing = True
        for item in (*self._again, *self._queue):
            item.fail(faults.UNAVAILABLE)
        self._again.clear()
        self._queue.clear()
        self._queued_bytes = 0

    def close(self) -> None:
        """Refuse everything for good, what is in flight too, and close every link."""
        self.refuse()
        for timer in (self._dispatching, self._sweeper):
            if timer is not None:
                timer.cancel()
        links = list(self._links)
        self._links.clear()
        self._idle.clear()
        for link in links:
            link.condemned = "closed"
            link.close()

    # what links report

    def came_up(self, link: Link) -> None:
        """A worker said hello."""
        if link.condemned:
            return
        link.stop_timer()
        self.started.set()
        self.failed_starts = 0
        self.refusing = False
        self._idle.append(link)
        self._dispatch_now()

    def answered(self, link: Link, settled: list[tuple[Item, wire.Reply]]) -> None:
        """A worker answered some items of its batch, or all that were left."""
        for item, reply in settled:
            if item.answer.done():
                continue
            if reply.status is wire.Status.OK:
                item.answer.set_result(reply.body)
            else:
                item.fail(faults.BY_STATUS[reply.status], reply.body.decode(errors="replace"))
        if link.flight is None and not link.condemned:
            self._idle.append(link)
            self._idle_since = self._loop.time()
            self._dispatch_soon()

    def mismatched(self, link: Link) -> None:
        """A worker cannot be believed; neither can what else it would say about its batch."""
        self._counters.mismatches += 1
        for item in link.unanswered():
            item.fail(faults.MISMATCH)
        link.flight = None
        self._kill(link, "mismatch")

    def lost(self, link: Link) -> None:
        """A worker is dead: blame the item in progress, evaluate its neighbours again."""
        if not link.up:
            self.failed_starts += 1
        if link in self._links:
            self._links.discard(link)
            if link in self._idle:
                self._idle.remove(link)
            self._wanted()
        if link.condemned == "closed":
            for item in link.unanswered():
                item.fail(faults.UNAVAILABLE)
            return
        cause, culprit = self._blame(link)
        for item in link.unanswered():
            if item is not culprit:
                self._rerun(item)
        link.flight = None
        self._counters.kills += 1
        self._counters.timeouts += cause == "timeout"
        self._counters.crashes += cause == "crashed"
        self._on_kill(cause)
        self._dispatch_now()

    def _blame(self, link: Link) -> tuple[str, Item | None]:
        """Why a worker died, and the item that is failed for it and never evaluated again: the one in progress,
        unless we ended the worker because of another."""
        cause = link.condemned or "crashed"
        culprit, since = link.in_progress()
        if culprit is None:
            return cause, None
        if self._loop.time() - since >= self._options.seconds(len(culprit.asked.keys)):
            culprit.fail(faults.TIMEOUT)  # its own alarm may have been quicker than our timer
            return "timeout", culprit
        if cause == "crashed":
            culprit.fail(faults.CRASHED)
            return cause, culprit
        return cause, None

    # dispatch

    def _dispatch_soon(self) -> None:
        """Send together what is asked in this round of the loop; right after a batch, linger for as many again."""
        if not self._idle or not (self._queue or self._again):
            return
        due = self._idle_since + self._options.linger_ms / 1000
        lingering = not self._again and len(self._queue) < self._expected and self._loop.time() < due
        if self._dispatching is not None:
            if lingering or not self._lingering:
                return
            self._dispatching.cancel()
        loop, self._lingering = self._loop, lingering
        self._dispatching = loop.call_at(due, self._dispatch) if lingering else loop.call_soon(self._dispatch)

    def _dispatch_now(self) -> None:
        if self._dispatching is not None:
            self._dispatching.cancel()
        self._dispatch()

    def _dispatch(self) -> None:
        self._dispatching = None
        while self._idle and (items := self._take()):
            link = self._idle.popleft()
            self._expected = len(items)
            self._counters.batches += 1
            self._counters.items += len(items)
            link.send(items, self._loop.time())
            link.timer = self._loop.call_later(self._options.seconds(1), self._overdue, link)

    def _take(self) -> list[Item]:
        while self._again:
            item = self._again.popleft()
            if not item.answer.done():
                return [item]
        taken, size = list[Item](), 0
        share = min(self._options.batch_items, -(-len(self._queue) // len(self._idle)))
        while self._queue and len(taken) < share:
            length = len(self._queue[0].asked.document)
            if taken and size + length > self._options.batch_bytes:
                break
            item = self._queue.popleft()
            self._queued_bytes -= length
            if not item.answer.done():  # its caller has gone
                taken.append(item)
                size += length
        return taken

    def _rerun(self, item: Item) -> None:
        item.attempts += 1
        if self.refusing or item.attempts >= self._options.attempts:
            item.fail(faults.UNAVAILABLE)
        elif not item.answer.done():
            self._counters.reruns += 1
            self._again.append(item)

    # time

    def _overdue(self, link: Link) -> None:
        """The deadline of what was in progress when the timer was set; something else may be by now."""
        item, since = link.in_progress()
        left = since + self._options.seconds(len(item.asked.keys) if item else 1) - self._loop.time()
        if left > 0:
            link.timer = self._loop.call_later(left, self._overdue, link)
        elif item is None:
            self._kill(link, "stalled")
        else:
            item.fail(faults.TIMEOUT)  # now, whatever may still come
            self._kill(link, "timeout")

    def _kill(self, link: Link, why: str) -> None:
        if link.condemned:
            return
        link.condemned = why
        link.stop_timer()
        self._links.discard(link)
        if link in self._idle:
            self._idle.remove(link)
        self._condemn(link)
        self._wanted()

    def _sweep(self) -> None:
        """Fail what has waited too long, queued or in flight, such as behind calls that each cost a worker."""
        oldest = self._loop.time() - self._options.patience_ms / 1000
        for queue in (self._again, self._queue):
            while queue and (queue[0].since <= oldest or queue[0].answer.done()):
                item = queue.popleft()
                if queue is self._queue:
                    self._queued_bytes -= len(item.asked.document)
                item.fail(faults.BUSY)
        waiting = [queue[0].since for queue in (self._again, self._queue) if queue]
        for item in (item for link in self._links for item in link.unanswered()):
            if item.since <= oldest:
                item.fail(faults.BUSY)
            else:
                waiting.append(item.since)
        self._sweeper = self._loop.call_later(min(waiting) - oldest, self._sweep) if waiting else None

    def _full(self, size: int) -> bool:
        options = self._options
        if len(self._queue) < options.queue_items and self._queued_bytes + size <= options.queue_bytes:
            return False
        # those whose callers have gone do not count
        self._queue = deque(item for item in self._queue if not item.answer.done())
        self._queued_bytes = sum(len(item.asked.document) for item in self._queue)
        return len(self._queue) >= options.queue_items or self._queued_bytes + size > options.queue_bytes
