"""What a tenant's agents name for the first time, told once: a receiver of the log that is sent nothing.

It reads decisions behind the log, as pushes do (ADR 0063): nothing is written with a decision, and none waits. Names
are kept in the store as keyed indexes, so a restart forgets nothing and a fleet tells once. What the log held when
this began is learnt and not told. A refused call teaches no name that holds; names that failed their check are a sort
of their own, so that names which are made up take no place of others.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

from pydantic_core import from_json

from pdp.core.bytes.digest import keyed_index
from pdp.core.call.registered import Interpreter
from pdp.core.ports import Log
from pdp.core.ports.telemetry import SILENT, Telemetry
from pdp.core.record.first_seen import OK, Named, carried_out, named, reached
from pdp.core.record.stored import FULL, MOST_FIRSTS, FirstRow, LogRow
from pdp.proof.receivers import RecordBatch

log = logging.getLogger("pdp.seen")

NAME = "first seen"  # of the receiver: no configured one has a space
KINDS = frozenset({"decision", "list"})
HISTORY = 100_000  # records before the beginning that are learnt from
AT_ONCE = 64  # records of one batch: with each comes its input document
OVERFLOW = "overflow"
_PORTION = 32  # names of one transaction
_TENANTS = 2 * AT_ONCE  # whose names are held in memory; a batch may have half of them
Place = tuple[str, str, str, str]  # tenant, server, name and kind of a target
Reading = Sequence[Interpreter]


@dataclass(frozen=True, slots=True)
class _Sighting:
    row: FirstRow
    named: Named
    decision_id: str


@dataclass(slots=True)
class FirstSeen:
    """Implements `receivers.Receiver`. `begin` is the number of records when the server started."""

    store: Log
    index_key: bytes
    interpreters: Callable[[Collection[Place]], Awaitable[Mapping[Place, Reading]]]  # of the tenants' targets
    begin: int
    telemetry: Telemetry = SILENT
    _told_from: int | None = None  # records before it are learnt from in silence
    _known: dict[str, dict[tuple[str, str], int]] = field(default_factory=dict)  # by tenant, as in the store

    def encoded(self, batch: RecordBatch) -> tuple[LogRow, ...]:
        """The records."""
        return batch.rows

    async def send(self, body: tuple[LogRow, ...], at_ns: int) -> None:  # noqa: ARG002 - as of a receiver
        """Keep and tell what is new. Raises Fault: then the same is tried again."""
        reading = await self.interpreters({_place(row.record) for row in body})
        sightings = await self.store.in_thread(self._sightings, body, reading)
        if self._told_from is None:  # the cursor of another name stays where the first process put it
            self._told_from = await self.store.hold_cursor(f"{NAME} from", self.begin, at_ns=0, until_ns=0) or 0
        for tenant in {each.row.tenant for each in sightings}:
            if tenant in self._known:
                self._known[tenant] = self._known.pop(tenant)  # the last to be dropped
            else:
                await self._learn(tenant)
        for start in range(0, len(sightings), _PORTION):
            await self._keep(sightings[start : start + _PORTION])

    async def _keep(self, sightings: Sequence[_Sighting]) -> None:
        """Keep and tell what is new of these: few in one transaction, for decisions wait for that."""
        # anew, since another process may have kept it, and so that a table that is locked is met here, not in the
        # writer, which would refuse what decisions write at the same time
        for tenant in {each.row.tenant for each in sightings if self._known_of(each.row) is None}:
            await self._learn(tenant)
        unknown = [each.row for each in sightings if self._known_of(each.row) is None]
        kept = dict(zip(unknown, await self.store.keep_firsts(unknown) if unknown else (), strict=True))
        for each in sightings:
            self._settle(each, kept.get(each.row) or self._known_of(each.row) or each.row)

    def _sightings(self, rows: Sequence[LogRow], reading: Mapping[Place, Reading]) -> tuple[_Sighting, ...]:
        """What is named, each once, by the first that does. Reads the input documents, and keeps nothing of them."""
        found: dict[tuple[Any, ...], _Sighting] = {}
        documents = self.store.inputs_from(rows[0].index, rows[-1].index - rows[0].index + 1)
        for row in rows:
            record, names = row.record, named(row.record)
            document = documents.get(row.index)  # None: it was erased, or is older than inputs are kept
            if document is not None and carried_out(record):
                names = chain(names, reached(from_json(document), reading[_place(record)]))
            for each in _bounded(names):
                if (key := (record["tenant"], each.sort, each.check == OK, each.name)) not in found:
                    first = FirstRow(record["tenant"], *self._indexed(record["tenant"], each), row.index)
                    found[key] = _Sighting(first, each, record["id"])
        return tuple(found.values())

    def _indexed(self, tenant: str, each: Named) -> tuple[str, str]:
        """Sort and keyed index of a name; those that failed their check are a sort of their own."""
        sort = each.sort if each.check == OK else f"refused {each.sort}"
        return sort, keyed_index(self.index_key, "first seen", tenant, sort, *each.name)

    async def _learn(self, tenant: str) -> None:
        """Hold what the store knows of a tenant."""
        rows = await self.store.in_thread(self.store.firsts, tenant)
        if tenant not in self._known and len(self._known) >= _TENANTS:
            del self._known[next(iter(self._known))]
        self._known[tenant] = {(row.sort, row.name): row.index for row in rows}

    def _known_of(self, row: FirstRow) -> FirstRow | None:
        """The row as the store has it, as far as that is known here: itself, or the mark that there is no place."""
        known = self._known[row.tenant]
        for name in (row.name, FULL):
            if (row.sort, name) in known:
                return replace(row, name=name, index=known[row.sort, name])
        return None

    def _settle(self, sighting: _Sighting, row: FirstRow) -> None:
        """Tell what this record was the first to name; all that has no place is counted. Never the name itself: a
        metric would keep it, and a log is no place for arguments."""
        known, each, index = self._known[row.tenant], sighting.named, sighting.row.index
        full, again = row.name == FULL, (row.sort, row.name) in known
        known[row.sort, row.name] = row.index
        first = row.index == index and not (full and again)
        if index < (self._told_from or 0) or not (first or full):
            return
        self.telemetry.count("pdp.targets.new", {"pdp.new": each.sort, "pdp.check": OVERFLOW if full else each.check})
        if first:
            event = {"event": "target.overflow" if full else "target.first_seen", "sort": each.sort}
            event |= {"check": each.check, "tenant": row.tenant, "decision_id": sighting.decision_id}
            log.warning("%s", json.dumps(event), extra={"event": event})


def _bounded(names: Iterable[Named]) -> Iterator[Named]:
    """Each once, and of a sort no more than a tenant may have and one: if others were known, that one is new."""
    seen, places = set[Named](), Counter[str]()
    for each in names:
        if places[each.sort] <= MOST_FIRSTS and each not in seen:
            seen.add(each)
            places[each.sort] += 1
            yield each


def _place(record: Mapping[str, Any]) -> Place:
    target = record.get("target") or {}
    server = record["server"]["id"] or ""
    return record["tenant"], server, target.get("name") or "", target.get("kind") or "tool"
