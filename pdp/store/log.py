"""What a store does the same on either database: commits, and what it knows in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from sqlalchemy import Engine

from pdp.core.errors import InvalidRequest
from pdp.core.stored import Commit, RecordRef, SwitchRow
from pdp.store.ledger import Ledger
from pdp.store.people.answers import PeopleReads
from pdp.store.writer import State, Writer


class LogStore(PeopleReads, ABC):
    """`ports.Store` but for reading the log and closing. `reads` is a pool of connections that only read."""

    def __init__(self, reads: Engine, writer: Writer, ledger: Ledger, *, origin: str, boot: str, clean: bool) -> None:
        super().__init__(reads)
        self._writer = writer
        self._ledger = ledger
        self._origin = origin
        self._boot = boot
        self._clean = clean

    @property
    def origin(self) -> str:
        """The log's origin."""
        return self._origin

    @property
    def boot(self) -> str:
        """Names this run of the process in its records."""
        return self._boot

    @property
    def clean(self) -> bool:
        """True when the run before this one closed the store."""
        return self._clean

    async def commit(self, entry: Commit) -> RecordRef:
        """Write durably and return the position.

        Raises Unavailable `record.unavailable` (not durable; see `writer` for what heals), `store.entry` (this entry
        breaks a constraint, such as an id used twice); Conflict (another request drew a salt for the same call first,
        or another change came before a step's: decide again); InvalidRequest `request.id_reused`; Overloaded
        `store.overloaded`. Only the first concerns other entries.
        """
        return await self._writer.submit(lambda: self._ledger.write(entry))

    async def commit_all(self, entries: tuple[Commit, ...]) -> tuple[RecordRef, ...]:
        """Write entries durably, in order and without a gap, or none of them; faults as in `commit`."""
        return await self._writer.submit(lambda: self._ledger.write_all(entries), weight=len(entries))

    async def erase_subject(self, tenant: str, subject: str) -> int:
        """Delete what was kept of a subject (a keyed index as in ValueRow) and return the number of rows. Records and
        their commitments stay, and can no longer be opened; requests stay without what was shown and said; grants
        cover nothing any more. On SQLite freed pages are zeroed and the WAL is emptied before this returns;
        PostgreSQL keeps what its vacuum, WAL and backups keep."""
        if not subject:
            raise InvalidRequest("subject", "names nobody; give the keyed index of the subject")
        return await self._writer.submit(lambda: self._erase(tenant, subject), after=self._erased)

    @abstractmethod
    def _erase(self, tenant: str, subject: str) -> int:
        """In the writer's transaction."""

    def _erased(self) -> None:
        """The erasure is durable."""

    def observe(self, told: Callable[[int], None]) -> None:
        """Have `told` hear of each durable batch how many records it has, on the writer's thread."""
        self._ledger.told = told

    def healthy(self) -> bool:
        """False when commits are refused."""
        return self._writer.state is State.OPEN

    def size(self) -> int:
        """Number of durable records."""
        return self._ledger.head.size

    def switches(self) -> tuple[SwitchRow, ...]:
        """All engaged switches, oldest first; one whose `until_ns` has passed goes with a later commit."""
        return self._ledger.marks.switches

    def switch_epoch(self) -> int:
        """Grows with every switch change."""
        return self._ledger.switch_epoch()

    def high_water(self, name: str) -> int:
        """0 when never set."""
        return self._ledger.marks.high_water.get(name, 0)

    def note_refusal(self, tenant: str, caller: str, code: str, at_ns: int) -> bool:
        """True when the refusal gets a record of its own; else it is counted."""
        return self._ledger.refusals.note((tenant, caller, code), at_ns)

    def aggregated_refusals(self) -> tuple[tuple[str, str, str, int], ...]:
        """(tenant, caller, code, count) beyond the quota; commit them at once as one record of kind `refusals`, which
        is what clears them from the database."""
        return self._ledger.refusals.take()
