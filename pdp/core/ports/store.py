"""The one commit port, and what is read back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

from pdp.core.ports.approvals import Answers
from pdp.core.record.artefact import Artefact
from pdp.core.record.stored import (
    CallKeys,
    CallRow,
    Commit,
    LogRow,
    PersonRow,
    RecordRef,
    RefusalCount,
    ReplyRow,
    RevocationRow,
    SessionOpening,
    SessionRow,
    StoredCall,
    StoredRecord,
    SwitchRow,
    ValueRow,
)

_P = ParamSpec("_P")
_T = TypeVar("_T")


class SessionState(Protocol):
    """Sessions and awaited results outside the store, around its reads and commits. All else stays in the commit."""

    async def read(
        self, keys: CallKeys, believed_ns: int, read: Callable[[CallKeys], Awaitable[StoredCall]], /
    ) -> StoredCall:
        """`read` of the store, with what lies here; with `StoredCall.away` where that cannot be read in time. What
        is kept until before `believed_ns` is kept no longer."""
        ...

    async def write(
        self,
        entries: tuple[Commit, ...],
        believed_ns: int,
        write: Callable[[tuple[Commit, ...]], Awaitable[tuple[RecordRef, ...]]],
        /,
    ) -> tuple[RecordRef, ...]:
        """`write` of the store, for what is the store's. What tightens is written before, what loosens afterwards.
        Raises Conflict, too, where it cannot be written: then nothing is committed."""
        ...

    def problem(self) -> str:
        """`session.unavailable`, `session.lost` (not long ago); empty while all is well."""
        ...

    async def close(self) -> None: ...


class Archive(Protocol):
    """The place of archived records: full entry bundles, by their numbers."""

    def keep(self, number: int, records: Sequence[bytes], /) -> None:
        """Have a full bundle on the disk, and read it back. Raises OSError."""
        ...

    def has(self, number: int, leaves: Sequence[bytes], /) -> bool:
        """Whether the bundle is there, with these leaf hashes."""
        ...


class Log(Protocol):
    """The log, and how far its consumers are: what they need of a store."""

    @property
    def origin(self) -> str:
        """The log's origin (its name in checkpoints)."""
        ...

    def size(self) -> int:
        """Number of records."""
        ...

    def records_from(self, index: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
        """At most `count` records from an index on, as (leaf hash, bytes); b"" for one that is archived and cannot be
        read here."""
        ...

    def leaves_from(self, index: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
        """The same as the store alone has them: b"" for each that was emptied."""
        ...

    async def rows(self, start: int, count: int, /, *, archive: bool = True) -> Sequence[LogRow]:
        """Records from an index on, in their order, read once for all consumers; fewer where the log ends. `archive`:
        those that are archived as `records_from` has them, else as `leaves_from`. Raises Unavailable, Overloaded."""
        ...

    def archived(self) -> int:
        """Records below this index are archived."""
        ...

    def read_archive(self, record: Callable[[int, bytes], bytes], /) -> None:
        """Read archived records there, by index and leaf hash; b"" for one that is not there. Once, at the start."""
        ...

    async def in_thread(self, reads: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """The result of `reads`, which calls the synchronous reads, in one of the threads for pages and background
        tasks. Raises Overloaded `store.overloaded`."""
        ...

    async def hold_cursor(self, name: str, begin: int, *, at_ns: int, until_ns: int) -> int | None:
        """The index at which a receiver of the log goes on, held by this process until `until_ns`; None while another
        one holds it. A new receiver begins at `begin`. It is no record. Raises Unavailable, Overloaded."""
        ...

    async def move_cursor(self, name: str, position: int, *, until_ns: int) -> bool:
        """Move forward what this process holds, and hold it until `until_ns`; False where it does not hold it any
        more. Raises Unavailable, Overloaded."""
        ...

    def cursor(self, name: str) -> int | None:
        """The index at which a receiver goes on; None for one that never began."""
        ...


class Store(Log, Answers, Protocol):
    """The one commit port, and the reads. The event loop waits for no database: what a decision needs comes by
    `for_call`, anything else goes through `read`, or runs in a thread. Reads see every commit that was answered."""

    async def commit(self, entry: Commit) -> RecordRef:
        """Write durably (fsync'd) and return the position. Raises Unavailable (`record.unavailable`) when it
        cannot; after a failed sync the store stays failed. Raises Conflict when a step's condition does not hold;
        nothing of the entry is then written. The write goes on when the waiter is cancelled."""
        ...

    async def commit_all(self, entries: tuple[Commit, ...]) -> tuple[RecordRef, ...]:
        """As `commit`, for entries that stand together: all of them, at consecutive positions in their order and
        durable at once, or none."""
        ...

    async def for_call(self, keys: CallKeys) -> StoredCall:
        """All that is kept about one call, read at once and consistent. Raises Unavailable (`store.unreadable`)."""
        ...

    async def read(self, reads: Callable[[], _T]) -> _T:
        """The result of `reads`, which calls the synchronous reads of this store, for a decision or an operator: in
        place on a local file; where a server is asked, in one of the store's few threads for that. Raises Overloaded
        `store.overloaded` where none is free for seconds."""
        ...

    def healthy(self) -> bool:
        """True while it can be written and read."""
        ...

    def problem(self) -> str:
        """Code of why it is not healthy; empty while it is."""
        ...

    def sessions_problem(self) -> str:
        """Code of what is wrong with sessions that lie outside the store (`SessionState.problem`); else empty."""
        ...

    def size_bytes(self) -> int:
        """The size of the store on disk; 0 when that cannot be told."""
        ...

    def record(self, record_id: str) -> StoredRecord | None: ...

    def record_at(self, index: int) -> StoredRecord | None: ...

    def archived_tenant(self, record_id: str, index: int | None) -> str | None:
        """The tenant of a record that is archived, by id, or by index where there is one; None for any other."""
        ...

    def oldest_needed(self, since_ns: int) -> int:
        """The index from which on all records stay: of the first at or after an instant, or that something open rests
        on, whichever is earlier."""
        ...

    async def empty_archived(self, first: int, until: int) -> int:
        """Drop the bytes of records that are archived; index, id, kind, tenant, time and leaf hash stay. Returns how
        many there were. Raises Unavailable, Overloaded."""
        ...

    def records_at(self, indexes: tuple[int, ...]) -> tuple[StoredRecord, ...]:
        """Records by index, newest first; without those that are not there."""
        ...

    def value(self, record_id: str, path: str) -> ValueRow | None: ...

    def call(self, index: str) -> CallRow | None: ...

    def session(self, index: str) -> SessionRow | None:
        """The owner of a session; None for one without an owner."""
        ...

    def due_openings(self, at_ns: int, limit: int) -> tuple[SessionOpening, ...]:
        """Sessions that may be over by time at an instant, and of whose end no record tells."""
        ...

    async def put_off(self, openings: Sequence[SessionOpening]) -> None:
        """Have these due when they say. Raises Unavailable, Overloaded."""
        ...

    def reply(self, key: str) -> ReplyRow | None: ...

    def people_of(self, subjects: tuple[str, ...]) -> tuple[PersonRow, ...]:
        """The pseudonyms of people by their keyed indexes, in the order of the pseudonyms."""
        ...

    def person(self, pseudonym: str) -> PersonRow | None:
        """Whom a pseudonym stands for: with an empty id somebody who was erased; None for one never written."""
        ...

    def people_named(self, tenant: str | None, name: str) -> tuple[PersonRow, ...]:
        """All people with an id, whatever their issuer and kind; of every tenant where that is None."""
        ...

    async def erase_people(
        self, people: tuple[PersonRow, ...], entries: tuple[Commit, ...]
    ) -> tuple[int, tuple[RecordRef, ...]]:
        """Delete what is kept of people besides records, and commit `entries` with it where there was anything.
        Returns the number of rows, and where the entries stand. Raises Unavailable, Overloaded."""
        ...

    def artefact(self, digest: str) -> Artefact | None: ...

    def switches(self) -> tuple[SwitchRow, ...]:
        """All engaged switches; one that has just ended may still be among them."""
        ...

    def revocations(self) -> tuple[RevocationRow, ...]:
        """All revocations of tokens; one whose `until_ns` has passed goes with a later commit."""
        ...

    def switch_epoch(self) -> int:
        """Grows with every switch change."""
        ...

    def shared_epoch(self) -> int:
        """Grows with every change of switches, of marks, and of what is in force anywhere."""
        ...

    async def put_in_force(self, digests: Mapping[tuple[str, str], str]) -> None:
        """Tell all processes of the store what one of them has in force: digests by part and tenant. Raises
        Unavailable."""
        ...

    def in_force(self) -> Mapping[tuple[str, str], str]:
        """The versions in force, as last announced by any process."""
        ...

    async def transact(self, work: Callable[[Any], _T], /) -> _T:
        """What `work` returns of the database's connection (SQLAlchemy's), in a transaction of the writer, which may
        run it again: for rows of a room's own tables. It is no record. Raises Unavailable, Overloaded."""
        ...

    def high_water(self, name: str) -> int:
        """0 when never set."""
        ...

    def note_refusal(self, tenant: str, caller: str, code: str, at_ns: int) -> bool:
        """Count a refusal in memory; True when it should get a record of its own, False when it is beyond the
        quota and only counted."""
        ...

    def aggregated_refusals(self) -> tuple[RefusalCount, ...]:
        """Refusals beyond the quota, until a commit that records them (`Commit.refusals`) is durable."""
        ...

    async def close(self) -> None: ...
