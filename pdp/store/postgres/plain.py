"""The commit of plain entries in one statement, and so in one round trip.

A plain entry has a record, values, a call, a reply and a session, and nothing else. The statement is its own
transaction: it locks and moves the head row, writes the rows of a whole batch from arrays, and deletes what is too
old. It changes nothing at all (no row of the result) where the head says that another process changed switches or
marks, or the log is not the one that was written; and it fails as a whole where a salt, a reply's key or a session is
taken. The writer then finds out what is wrong in an ordinary transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pdp.core.stored import CallRow, Commit, SessionRow
from pdp.store.entries import VALUES_PER_RECORD, places
from pdp.store.ledger import Ages, Head
from pdp.store.shared import Last

NAME = "pdp_commit"  # of the prepared statement

# Every change joins `moved`, so none is made before the head is locked. Rows that are renewed in the statement are
# not deleted in it, for PostgreSQL changes a row only once in a statement.
STATEMENT = """
WITH moved AS (
  UPDATE head SET size = size + cardinality($1::text[])
  WHERE changes = $8 AND size > $9
    AND ($9 < 0 OR (SELECT leaf FROM records WHERE idx = $9) = $10::bytea)
  RETURNING size - cardinality($1::text[]) AS first
), new_records AS (
  INSERT INTO records (idx, id, kind, tenant, time_ns, leaf, bytes)
  SELECT first + place - 1, id, kind, tenant, time_ns, leaf, bytes
  FROM moved, unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[])
    WITH ORDINALITY AS new (id, kind, tenant, time_ns, leaf, bytes, place)
), new_values AS (
  INSERT INTO "values" (seq, path, tenant, subject, salt, data)
  SELECT $7 * first + place, path, tenant, subject, salt, data
  FROM moved, unnest($11::bigint[], $12::text[], $13::text[], $14::text[], $15::bytea[], $16::bytea[])
    AS new (place, path, tenant, subject, salt, data)
), new_calls AS (
  INSERT INTO calls (idx, tenant, subject, salt, digest, created_ns)
  SELECT new.* FROM moved, unnest($17::text[], $18::text[], $19::text[], $20::bytea[], $21::text[], $22::bigint[])
    AS new
  ON CONFLICT (idx) DO UPDATE SET seq = DEFAULT, created_ns = excluded.created_ns
  WHERE calls.salt = excluded.salt
  RETURNING 1
), new_replies AS (
  INSERT INTO replies (key, content, kind, effect, reply, epochs, valid_until_ns, created_ns)
  SELECT new.* FROM moved, unnest($23::text[], $24::text[], $25::text[], $26::text[], $27::bytea[], $28::text[],
    $29::bigint[], $30::bigint[]) AS new
  ON CONFLICT (key) DO UPDATE SET seq = DEFAULT, kind = excluded.kind, effect = excluded.effect,
    reply = excluded.reply, epochs = excluded.epochs, valid_until_ns = excluded.valid_until_ns,
    created_ns = excluded.created_ns
  WHERE replies.content = excluded.content
  RETURNING 1
), new_sessions AS (
  INSERT INTO sessions (idx, owner, until_ns)
  SELECT new.* FROM moved, unnest($31::text[], $32::text[], $33::bigint[]) AS new
  ON CONFLICT (idx) DO UPDATE SET owner = excluded.owner, until_ns = greatest(sessions.until_ns, excluded.until_ns)
  WHERE sessions.owner = excluded.owner OR sessions.until_ns < $34
  RETURNING 1
), old_replies AS (
  DELETE FROM replies USING moved
  WHERE seq IN (SELECT seq FROM replies ORDER BY seq LIMIT $35) AND created_ns < $36 AND key <> ALL($23::text[])
), old_calls AS (
  DELETE FROM calls USING moved
  WHERE seq IN (SELECT seq FROM calls ORDER BY seq LIMIT $35) AND created_ns < $37 AND idx <> ALL($17::text[])
), old_values AS (
  DELETE FROM "values" USING moved
  WHERE seq IN (SELECT seq FROM "values" ORDER BY seq LIMIT CASE WHEN $38::bigint IS NULL THEN 0 ELSE 2 * $35 END)
    AND (SELECT time_ns FROM records WHERE idx = seq / $7) < $38
), old_sessions AS (
  DELETE FROM sessions USING moved
  WHERE idx IN (SELECT idx FROM sessions WHERE until_ns < $39 ORDER BY until_ns
                LIMIT 2 * cardinality($31::text[]))
    AND until_ns < $39 AND idx <> ALL($31::text[])
)
SELECT first + cardinality($1::text[]) - 1 AS last, 1 / CASE
  WHEN (SELECT count(*) FROM new_calls) = cardinality($17::text[])
   AND (SELECT count(*) FROM new_replies) = cardinality($23::text[])
   AND (SELECT count(*) FROM new_sessions) = cardinality($31::text[]) THEN 1
  ELSE 0 END AS whole -- a division by zero undoes everything
FROM moved
"""


def is_plain(entry: Commit) -> bool:
    """Whether the entry has only what the statement writes."""
    return not (entry.artefacts or entry.switch or entry.high_water or entry.steps or entry.refusals)


def statement_arguments(
    entries: Sequence[Commit], leaves: Sequence[bytes], head: Head, last: Last | None, ages: Ages
) -> tuple[Any, ...] | None:
    """The arguments of `STATEMENT`; None where two entries change the same row in different ways. Raises Fault
    `store.entry` as `entries.places` does."""
    calls: dict[str, CallRow] = {}
    sessions: dict[str, SessionRow] = {}
    for entry in entries:
        if (call := entry.call) is not None and calls.setdefault(call.index, call).salt != call.salt:
            return None
        if call is not None:
            calls[call.index] = call
        if (row := entry.session) is not None:
            known = sessions.setdefault(row.index, row)
            if known.owner != row.owner:
                return None
            sessions[row.index] = max(known, row, key=lambda each: each.until_ns)
    replies = {entry.reply.key: entry.reply for entry in entries if entry.reply is not None}
    if len(replies) < sum(entry.reply is not None for entry in entries):
        return None
    values = [each for position, entry in enumerate(entries) for each in places(entry, position)]
    return (
        [entry.record_id for entry in entries],
        [entry.kind for entry in entries],
        [entry.tenant for entry in entries],
        [entry.at_ns for entry in entries],
        leaves,
        [entry.record for entry in entries],
        VALUES_PER_RECORD,
        head.changes,
        -1 if last is None else last.index,
        b"" if last is None else last.leaf,
        [place for place, _ in values],
        [value.path for _, value in values],
        [value.tenant for _, value in values],
        [value.subject for _, value in values],
        [value.salt for _, value in values],
        [value.data for _, value in values],
        list(calls),
        [call.tenant for call in calls.values()],
        [call.subject for call in calls.values()],
        [call.salt for call in calls.values()],
        [call.digest for call in calls.values()],
        [call.created_ns for call in calls.values()],
        list(replies),
        [reply.content for reply in replies.values()],
        [reply.kind for reply in replies.values()],
        [reply.effect for reply in replies.values()],
        [reply.reply for reply in replies.values()],
        [reply.epochs for reply in replies.values()],
        [reply.valid_until_ns for reply in replies.values()],
        [reply.created_ns for reply in replies.values()],
        list(sessions),
        [row.owner for row in sessions.values()],
        [row.until_ns for row in sessions.values()],
        ages.believed_ns,
        2 * len(entries),
        ages.replies_ns,
        ages.calls_ns,
        ages.values_ns,
        ages.sessions_ns,
    )
