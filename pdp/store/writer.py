"""The one writer: a thread that drains a queue, one transaction and one sync per batch.

Failure rules. Whatever goes wrong with the file refuses the whole batch: no answer leaves. What may heal by
itself (disk full while writing, a foreign lock) stalls the writer, which refuses everything until a test write
of `PROBE_BYTES` has been committed; nothing of the refused batch is tried again. Everything else, above all a
failed sync, is final: the kernel may drop dirty pages after reporting the error once, so a second sync that
succeeds proves nothing. Only a restart, which reads the file again, goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from threading import Condition, Thread
from typing import Any, Protocol, TypeAlias, TypeVar

from pdp.core.errors import Fault, Overloaded, Unavailable

log = logging.getLogger(__name__)

PROBE_BYTES = 128 * 1024
CHECKPOINT_IDLE = 0.02  # seconds without work after which a checkpoint disturbs nobody
CHECKPOINT_WRITES = 400  # entries and commits after which it is due in any case: a WAL of some 15 MB
_HEALING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# Errors of one entry, after which the transaction is whole and the others go on.
_ENTRY_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)

T = TypeVar("T")
After: TypeAlias = Callable[[sqlite3.Connection], None]


class State(Enum):
    """What the writer does with work."""

    OPEN = "open"
    STALLED = "stalled"
    FAILED = "failed"
    CLOSED = "closed"


def unavailable(detail: str = "") -> Unavailable:
    """The one answer to work that cannot be made durable."""
    return Unavailable("record.unavailable", "the record cannot be written; nothing was decided", detail=detail)


@dataclass(slots=True)
class Work:
    """One queued write. `job` runs inside the batch's transaction, and again when one of the batch was at fault;
    `after` runs once the batch is durable, before the waiter is told."""

    job: Callable[[sqlite3.Connection], object]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    after: After | None = None
    weight: int = 1  # how many entries it writes


@dataclass(frozen=True, slots=True)
class Pace:
    """How batches form; times in seconds."""

    max_batch: int
    max_queue: int
    linger: float
    probe: float


class Hooks(Protocol):
    """What the store keeps in step with the file; called on the writer's thread only."""

    def before_commit(self, db: sqlite3.Connection, entries: int) -> None:
        """Add the store's own rows to the batch."""
        ...

    def done(self, db: sqlite3.Connection) -> None:
        """The batch is durable; nobody has been told yet."""
        ...

    def undone(self) -> None:
        """The batch, or whatever was under way, was not made durable."""
        ...

    def closing(self, db: sqlite3.Connection) -> None:
        """The last write of a run that ends well."""
        ...


class Writer:
    """Owns the writing connection."""

    def __init__(self, db: sqlite3.Connection, pace: Pace, hooks: Hooks) -> None:
        self.state = State.OPEN
        self._db = db
        self._pace = pace
        self._hooks = hooks
        self._ready = Condition()
        self._queue: list[Work] = []
        self._wanted = 1  # queue length at which the writer wakes
        self._expected = 1  # the last batch's length: what lingering waits for
        self._closing = False
        self._since_checkpoint = 0
        self._thread = Thread(target=self._run, name="pdp-store-writer", daemon=True)
        self._thread.start()

    async def submit(
        self, job: Callable[[sqlite3.Connection], T], after: After | None = None, *, weight: int = 1
    ) -> T:
        """Queue a job and wait until it is durable. Raises Unavailable or Overloaded, and the job's own fault.

        The write goes on when the waiter is cancelled: only the future is, and nobody takes work back.
        """
        loop = asyncio.get_running_loop()
        work = Work(job, loop, loop.create_future(), after, weight)
        with self._ready:
            if self.state is not State.OPEN or self._closing:
                raise unavailable()
            if len(self._queue) >= self._pace.max_queue:
                raise Overloaded("store.overloaded", "too many records wait for the disk; ask again later")
            self._queue.append(work)
            if len(self._queue) >= self._wanted:
                self._wanted = self._pace.max_queue + 1  # wake it once
                self._ready.notify()
        made: T = await work.future
        return made

    def stop(self) -> None:
        """Finish what is queued, then end the thread. Blocks."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join()

    def _run(self) -> None:
        while self._round():
            pass
        for step in (self._checkpoint, lambda: self._hooks.closing(self._db)):
            if self.state is State.OPEN:
                self._guarded(step)
        if self.state is not State.FAILED:
            self.state = State.CLOSED

    def _round(self) -> bool:
        """One batch, or one piece of housekeeping; False when everything queued is done and it is time to go."""
        batch = self._gather()
        if batch:
            self._commit(batch)
        elif self._closing:
            return False
        elif self.state is State.STALLED:
            self._guarded(self._probe)
        if self._checkpoint_due(idle=not batch):
            self._guarded(self._checkpoint)
        return True

    def _gather(self) -> list[Work]:
        """The next batch; empty when it is time for something else."""
        with self._ready:
            if not self._queue and not self._closing:
                self._wanted = 1
                self._ready.wait(self._patience())
            if 0 < len(self._queue) < self._expected and self._pace.linger and not self._closing:
                self._wanted = self._expected
                self._ready.wait_for(lambda: len(self._queue) >= self._expected, self._pace.linger)
            self._wanted = self._pace.max_queue + 1
            batch = self._queue[: self._pace.max_batch]
            del self._queue[: self._pace.max_batch]
        self._expected = max(1, len(batch))
        return batch

    def _patience(self) -> float | None:
        if self.state is State.STALLED:
            return self._pace.probe
        return CHECKPOINT_IDLE if self._since_checkpoint and self.state is State.OPEN else None

    def _commit(self, batch: Sequence[Work]) -> None:
        results: list[object] = [unavailable()] * len(batch)
        if self.state is State.OPEN:
            self._guarded(lambda: self._transaction(batch, results))
        self._since_checkpoint += sum(work.weight for work in batch) + 1
        _deliver(batch, results)

    def _transaction(self, batch: Sequence[Work], results: list[object]) -> None:
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            made = [work.job(db) for work in batch]
        except Exception as e:
            if isinstance(e, sqlite3.Error) and not isinstance(e, _ENTRY_ERRORS):
                raise
            # One entry is at fault. Once more, each in a savepoint of its own, so that the others stand; savepoints
            # copy pages, so a batch without faults does not have them.
            db.execute("ROLLBACK")
            self._hooks.undone()
            db.execute("BEGIN IMMEDIATE")
            made = [self._entry(work) for work in batch]
        self._hooks.before_commit(db, len(batch))
        db.execute("COMMIT")
        self._hooks.done(db)
        for work, result in zip(batch, made, strict=True):
            if work.after is not None and not isinstance(result, Fault):
                work.after(db)
        results[:] = made

    def _entry(self, work: Work) -> object:
        db = self._db
        db.execute("SAVEPOINT entry")
        try:
            result: object = work.job(db)
        except Fault as fault:
            result = fault
        except _ENTRY_ERRORS as e:
            result = _unwritable(e)
        except sqlite3.Error:
            raise
        except Exception as e:  # noqa: BLE001 one entry's bug (a wrong type, a lone surrogate) is not the others'
            result = _unwritable(e)
        if isinstance(result, Fault):  # the job changed nothing in memory: it did not get to its end
            db.execute("ROLLBACK TO entry")
        db.execute("RELEASE entry")
        return result

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step on the file; any error decides the writer's state."""
        try:
            step()
        except sqlite3.Error as e:
            healing = (getattr(e, "sqlite_errorcode", 0) & 0xFF) in _HEALING and self._rolled_back()
            self._turn(State.STALLED if healing else State.FAILED, e)
        except BaseException as e:  # noqa: BLE001 a bug: waiters must hear of it, nothing may build on its leavings
            self._turn(State.FAILED, e)

    def _turn(self, state: State, cause: BaseException) -> None:
        if self.state is not state:
            log.error("the store is %s: records cannot be written", state.value, exc_info=cause)
        self.state = state
        self._hooks.undone()

    def _rolled_back(self) -> bool:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            return False
        return True

    def _probe(self) -> None:
        """A committed test write. Its success ends the stall."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT OR REPLACE INTO meta VALUES ('probe', zeroblob(?))", (PROBE_BYTES,))
        db.execute("COMMIT")
        db.execute("DELETE FROM meta WHERE name = 'probe'")
        self._since_checkpoint += 1
        self.state = State.OPEN
        log.warning("the store can write again")

    def _checkpoint_due(self, *, idle: bool) -> bool:
        if self.state is not State.OPEN or not self._since_checkpoint:
            return False
        return idle or self._since_checkpoint >= CHECKPOINT_WRITES

    def _checkpoint(self) -> None:
        """Copy the WAL into the database. Done here, not by SQLite itself, because that hides its errors."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._since_checkpoint = 0


def _unwritable(cause: Exception) -> Unavailable:
    log.error("an entry cannot be written", exc_info=cause)
    return Unavailable("store.entry", "the record cannot be written as it is; nothing was decided", detail=str(cause))


def _deliver(batch: Sequence[Work], results: Sequence[object]) -> None:
    """Tell the waiters, waking each event loop once."""
    per_loop: dict[asyncio.AbstractEventLoop, list[tuple[Work, object]]] = {}
    for work, result in zip(batch, results, strict=True):
        per_loop.setdefault(work.loop, []).append((work, result))
    for loop, told in per_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_tell, told)


def _tell(told: Sequence[tuple[Work, object]]) -> None:
    for work, result in told:
        if work.future.done():  # cancelled; what was written stays written
            continue
        if isinstance(result, Fault):
            work.future.set_exception(result)
        else:
            work.future.set_result(result)
