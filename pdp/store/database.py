"""The interfaces between the writer, its database, and the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from pdp.core.stored import Commit, RecordRef

T = TypeVar("T")


class AnotherLog(Exception):
    """The database does not hold what this process wrote: it must be neither extended nor read."""

    code = "store.rollback"


class LogWentBack(AnotherLog):
    """Records that were durable are gone or others: the database is an older copy, or one that grew from it."""


class FileReplaced(AnotherLog):
    """Another file lies where the store's was: what is written now would be lost with the next start."""

    code = "store.replaced"


class Database(Protocol):
    """The database of a writer; called on the writer's thread only, and all else within `run`."""

    def run(self, work: Callable[[], T]) -> T:
        """Do it where the connection may be used, and wait for it."""
        ...

    def begin(self) -> None: ...

    def commit(self) -> None:
        """Returns when the transaction is durable; raises when it is not, or when that cannot be told."""
        ...

    def rollback(self) -> None: ...

    def savepoint(self) -> None: ...

    def release(self, *, undo: bool) -> None:
        """End the savepoint, and take back what was written since where `undo`."""
        ...

    def at_fault(self, error: Exception) -> bool:
        """True when the error is the database's, False when it is only the entry's."""
        ...

    def heals(self, error: Exception) -> bool:
        """True when the error may go away by itself and the transaction is taken back."""
        ...

    def locked(self, error: BaseException) -> bool:
        """True when another session's lock was not given up in time; what needs no such lock may still be written."""
        ...

    def probe(self) -> None:
        """A committed test write; anew from the start where need be."""
        ...

    def tidy(self) -> None:
        """Housekeeping between batches."""
        ...


class Hooks(Protocol):
    """Callbacks that keep the store in step with the database; called on the writer's thread only."""

    def commit_plain(self, entries: Sequence[Commit]) -> tuple[RecordRef, ...] | None:
        """Make entries durable in one round trip. None, and an error that is not the database's, where nothing was
        changed and a transaction must be tried."""
        ...

    def plain_done(self, entries: Sequence[Commit], refs: tuple[RecordRef, ...]) -> None:
        """They are durable, and not announced yet."""
        ...

    def begun(self) -> None:
        """A transaction has begun."""
        ...

    def before_commit(self, entries: int) -> None:
        """Add the store's own rows to the batch."""
        ...

    def done(self) -> None:
        """The batch is durable, and not announced yet."""
        ...

    def undone(self) -> None:
        """The batch, or the step under way, was not made durable."""
        ...

    def closing(self) -> None:
        """The last write of a run that ends well."""
        ...
