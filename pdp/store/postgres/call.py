"""The store's data about one call, by one prepared statement on the loop of the service.

A second statement follows only for a call with approvals or verdicts. Other calls do not touch those tables, so a
lock on them delays no other decision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

from pdp.core.approvals.rows import Answered, Approval, Delegation, Seen, Vote
from pdp.core.approvals.turned_down import TurnedDown
from pdp.core.stored import CallKeys, CallRow, ReplyRow, SessionRow, StoredCall
from pdp.store.approvals import tables as t
from pdp.store.approvals.answers import ABOUT_ONE_CALL
from pdp.store.approvals.mapping import from_row
from pdp.store.columns import storable

T = TypeVar("T")

CONNECTIONS = 16

_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call] # types ask for one
_REPLY = "{0}.key, {0}.content, {0}.kind, {0}.effect, {0}.reply, {0}.epochs, {0}.valid_until_ns, {0}.created_ns"
_REPLY_COLUMNS, _CALL_COLUMNS, _SESSION_COLUMNS = 8, 6, 3

STATEMENT = f"""
SELECT {_REPLY.format("kept")}, {_REPLY.format("redeemed")}, sessions.idx, sessions.owner, sessions.until_ns,
  calls.idx, calls.tenant, calls.subject, calls.salt, calls.digest, calls.created_ns,
  (SELECT count(*) FROM outcomes WHERE call_digest = calls.digest AND outcome = 'unknown'),
  refused, withdrawn, last_ns,
  CASE WHEN $11 = '' THEN 0
    ELSE (SELECT count(*) FROM evidence
      WHERE tenant = $1 AND asker = $11 AND created_ns >= $5 AND evidence.refused = 1)
  END,
  EXISTS (SELECT FROM approvals WHERE tenant = $1 AND call_digest = calls.digest)
    OR EXISTS (SELECT FROM evidence WHERE tenant = $1 AND call_digest = calls.digest)
FROM (
  SELECT count(*) FILTER (WHERE resolution <> 'approval.cancelled') AS refused,
    count(*) FILTER (WHERE resolution = 'approval.cancelled') AS withdrawn, coalesce(max(resolved_ns), 0) AS last_ns
  FROM approvals
  WHERE tenant = $1 AND call_subject_id = $6 AND call_subject_issuer = $7 AND call_agent = $8 AND call_server = $9
    AND call_tool = $10 AND resolved_ns >= $5 AND state IN ('cancelled', 'denied', 'revoked') AND canary = 0
    AND resolution IN ('approval.denied', 'approval.revoked', 'approval.cancelled')
) AS like_this
LEFT JOIN replies AS kept ON kept.key = $2
LEFT JOIN sessions ON sessions.idx = $3
LEFT JOIN calls ON calls.idx = $4
LEFT JOIN replies AS redeemed ON redeemed.key = $12 AND calls.idx IS NOT NULL
"""  # noqa: S608 - names of columns

ANSWERED = f"""
WITH about AS (
  SELECT * FROM approvals WHERE tenant = $1 AND call_digest = $2 ORDER BY id DESC LIMIT {ABOUT_ONE_CALL}
), given AS (
  SELECT * FROM votes WHERE approval_id IN (SELECT id FROM about)
)
SELECT ARRAY(SELECT approvals FROM approvals WHERE id IN (SELECT id FROM about) ORDER BY id DESC) AS approvals,
  ARRAY(SELECT votes FROM votes WHERE id IN (SELECT id FROM given) ORDER BY seq) AS votes,
  ARRAY(SELECT delegations FROM delegations WHERE tenant = $1 AND ended_ns = 0 AND until_ns > $3
    AND EXISTS (SELECT FROM given) ORDER BY id) AS delegations,
  ARRAY(SELECT seen FROM seen WHERE tenant = $1 AND (account_issuer, account_id) IN
    (SELECT account_issuer, account_id FROM given WHERE claimed <> '[]')) AS seen,
  ARRAY(SELECT evidence FROM evidence WHERE tenant = $1 AND call_digest = $2 ORDER BY requirement_sha256) AS evidence
"""  # noqa: S608 - a number of ours


Lasting = Callable[[tuple[Any, ...] | None], SessionRow | None]


class CallReads:
    """Connections on the loop that reads. `lasting` makes a session of its row, unless its time is over."""

    def __init__(self, arguments: Mapping[str, Any], lasting: Lasting) -> None:
        """`arguments` of asyncpg.connect."""
        self._arguments = arguments
        self._lasting = lasting
        self._slots = asyncio.Semaphore(CONNECTIONS)
        self._idle: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # theirs

    async def read(self, keys: CallKeys) -> StoredCall:
        """All about one call. Raises what asyncpg does; the connection is then not used again."""
        async with self._slots:
            db = self._kept() or await asyncpg.connect(**self._arguments)
            try:
                stored = await self._read(db, keys)
            except BaseException:
                db.terminate()
                raise
            self._idle.append(db)
            return stored

    async def once(self, keys: CallKeys) -> StoredCall:
        """The same by a connection of its own, on any loop."""
        db = await asyncpg.connect(**self._arguments)
        try:
            return await self._read(db, keys)
        finally:
            db.terminate()

    async def _read(self, db: Any, keys: CallKeys) -> StoredCall:
        row = tuple((await db.fetch(STATEMENT, *_arguments(keys)))[0])
        stored, asked = _stored(row, self._lasting), row[-1]
        if keys.call is None or stored.row is None or not asked:
            return stored
        return _answered(stored, (await db.fetch(ANSWERED, keys.tenant, stored.row.digest, keys.at_ns))[0])

    def _kept(self) -> Any:
        """A connection of this loop, None where there is none."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.close()
            self._loop = loop
        while self._idle:
            db = self._idle.pop()
            if not db.is_closed():
                return db
        return None

    def close(self) -> None:
        """End what is idle."""
        if self._loop is not None and not self._loop.is_closed():
            for db in self._idle:
                db.terminate()
        self._idle.clear()


def _arguments(keys: CallKeys) -> tuple[str | int, ...]:
    call = keys.call
    like = ("",) * 5 if call is None else (
        call.subject.id, call.subject.issuer, call.agent, call.server, call.tool
    )  # fmt: skip
    before = (keys.tenant, keys.reply, keys.session, keys.index)
    after = (*like, keys.asker, keys.redeemed)
    return (*map(storable, before), keys.since_ns, *map(storable, after))


def _stored(row: tuple[Any, ...], lasting: Lasting) -> StoredCall:
    kept, redeemed, rest = row[:_REPLY_COLUMNS], row[_REPLY_COLUMNS : 2 * _REPLY_COLUMNS], row[2 * _REPLY_COLUMNS :]
    session, rest = rest[:_SESSION_COLUMNS], rest[_SESSION_COLUMNS:]
    call, (unknown, refusals, withdrawals, last_ns, judge_refusals, _) = rest[:_CALL_COLUMNS], rest[_CALL_COLUMNS:]
    return StoredCall(
        reply=None if kept[0] is None else ReplyRow(*kept),
        redeemed=None if redeemed[0] is None else ReplyRow(*redeemed),
        session=None if session[0] is None else lasting(session),
        row=None if call[0] is None else CallRow(*call),
        unknown_outcomes=unknown,
        turned_down=TurnedDown(refusals, withdrawals, last_ns),
        judge_refusals=judge_refusals,
    )


def _answered(stored: StoredCall, rows: Mapping[str, Any]) -> StoredCall:
    votes: dict[str, tuple[Vote, ...]] = {}
    for vote in _values(Vote, t.votes, rows["votes"]):
        votes[vote.approval_id] = (*votes.get(vote.approval_id, ()), vote)
    return replace(
        stored,
        approvals=_values(Approval, t.approvals, rows["approvals"]),
        votes=votes,
        delegations=_values(Delegation, t.delegations, rows["delegations"]),
        seen={each.account: each for each in _values(Seen, t.seen, rows["seen"])},
        answers=_values(Answered, t.evidence, rows["evidence"]),
    )


def _values(kind: type[T], table: Table, rows: list[Mapping[str, Any]]) -> tuple[T, ...]:
    """The values of rows, by the types of a table's columns."""
    read = {c.name: c.type.result_processor(_DIALECT, None) for c in table.c}
    return tuple(
        from_row(kind, {name: process(row[name]) if process else row[name] for name, process in read.items()})
        for row in rows
    )
