"""Sessions: whose one is, and what is known about those who hold it (DESIGN section 2: state, never identity).

The key is (tenant, caller, session id); at first use it is bound to (issuer, subject, agent) of a verified identity.
All of it lies in the store and is read with everything else about a call, so it is the same in every process, over a
restart, and a moment after a session has ended. Nothing is kept here.

A session is over when it was idle or open for too long; under its id another one then begins. One that has ended is
refused for as long as its row is kept. Whatever was bound to a session holds for nothing that was opened later.
"""

from __future__ import annotations

from dataclasses import replace

from pdp.core.check import NS, OK, Check, failed
from pdp.core.digest import keyed_index
from pdp.core.facts import WORST_LABELS, Identity, SessionFact, TargetFact
from pdp.core.request import Caller, SessionAsk
from pdp.core.sessions import UNOBSERVED, observed
from pdp.core.stored import CallKeys, LabelRow, SessionRow, StoredCall
from pdp.sessions.options import SessionOptions

# One message for all, so that a caller learns neither the owner of a session nor whether it exists.
UNKNOWN = "The session is not known for this caller, subject and agent; start one under a new id."
_UNKNOWN = failed("session.unknown", UNKNOWN)
_TASK = failed("session.task_changed", "The task is not the one that this session was begun for; start another.")


class StoredSessions:
    """Implements `ports.Sessions`."""

    def __init__(self, options: SessionOptions, key: bytes) -> None:
        """`key` makes the indexes under which the store knows sessions, owners and pairs."""
        self._options = options
        self._key = key
        self._idle_ns = options.idle_seconds * NS
        self._life_ns = options.lifetime_seconds * NS

    def keys(
        self, keys: CallKeys, caller: Caller, identity: Identity, ask: SessionAsk, target: TargetFact
    ) -> CallKeys:
        """With those of the session, and of subject and agent; as they are where these were not verified."""
        if not _verified(identity):
            return keys
        owner = (caller.tenant, *_owner(identity))
        return replace(
            keys,
            session=self._index(caller, ask.id) if ask.id else "",
            pair=keyed_index(self._key, "pair", *owner),
            also=self._memory(caller, identity, target),
        )

    def look(
        self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int, keys: CallKeys, stored: StoredCall
    ) -> tuple[SessionFact, SessionRow | None]:
        """The session's facts, and its row with this call, to be written with the record.

        Without an id, or for an identity whose checks did not pass, the facts hold their worst values and there is no
        row (the gate denies the latter on its own checks). Failed checks: `session.unknown` for a handle and for what
        has ended, `session.identity_mismatch`, both in the same words; `session.task_changed`.
        """
        task, source = _task(caller, ask)
        worst = SessionFact(OK, task=task, task_source=source)
        if ask.handle:
            return replace(worst, check=_UNKNOWN), None
        if not _verified(identity):
            return worst, None
        if not ask.id:
            return self._labelled(worst, caller, ask, keys, stored, keys.pair), None
        owner = self._owner_index(caller, identity, ask.id)
        row = self._row(caller, ask, at_ns, keys, owner)
        known = stored.session
        if known is not None:
            problem = self._problem(known, row, at_ns)
            if not problem.ok:
                return replace(worst, check=problem), None
            if known.over_ns > at_ns:
                row = replace(
                    row,
                    opened_ns=known.opened_ns,
                    over_ns=self._over_ns(known.opened_ns or at_ns, at_ns),
                    until_ns=max(known.until_ns, self._until_ns(known.until_ns, at_ns)),
                    tree=known.tree or row.tree,
                    parent=known.parent,
                )
            else:
                known = None
        counted = known is None or known.opened_ns > 0
        fact = replace(worst, known=counted and known is not None, started_ns=row.opened_ns)
        if counted:
            calls, denials = (known.calls, known.denials) if known is not None else (0, 0)
            fact = replace(fact, calls=calls, denials=denials)
        return self._labelled(fact, caller, ask, keys, stored, row.tree), row

    def _labelled(
        self, fact: SessionFact, caller: Caller, ask: SessionAsk, keys: CallKeys, stored: StoredCall, tree: str
    ) -> SessionFact:
        rows, awaited = tuple(row for row in stored.labels if row.pair != keys.also), stored.awaited
        reset = ask.context_reset and caller.may_assert.context_reset
        if reset:
            rows = tuple(row for row in rows if row.pair != keys.pair)
            awaited = awaited if tree != keys.pair else 0
        complete = bool(ask.id) and caller.inspects_results and observed(rows, awaited)
        names = sorted({row.label for row in rows} - {UNOBSERVED, *WORST_LABELS})
        worst = tuple(label for label in WORST_LABELS if not complete or any(row.label == label for row in rows))
        return replace(
            fact,
            observed=complete,
            labels=(*worst, *names),
            label_sources=_first(rows),
            tree=tree,
            reset=reset,
        )

    def _row(self, caller: Caller, ask: SessionAsk, at_ns: int, keys: CallKeys, owner: str) -> SessionRow:
        """A session that begins with this call."""
        task, source = _task(caller, ask)
        return SessionRow(
            keys.session,
            owner,
            self._until_ns(0, at_ns),
            opened_ns=at_ns,
            used_ns=at_ns,
            over_ns=self._over_ns(at_ns, at_ns),
            calls=1,
            tree=keys.pair,
            task=keyed_index(self._key, "task of session", keys.session, task) if source == "caller" else "",
        )

    def _problem(self, known: SessionRow, row: SessionRow, at_ns: int) -> Check:
        if known.owner != row.owner:
            return failed("session.identity_mismatch", UNKNOWN)
        if known.state != "open":
            return _UNKNOWN
        if known.over_ns > at_ns and known.task and row.task and known.task != row.task:
            return _TASK
        return OK

    def _over_ns(self, opened_ns: int, at_ns: int) -> int:
        return min(at_ns + self._idle_ns, opened_ns + self._life_ns)

    def _until_ns(self, until_ns: int, at_ns: int) -> int:
        """How long whose it is stays known: for each use as long as it is open, though the row is renewed only when
        a fifth of its time is over."""
        return until_ns if until_ns - at_ns >= self._idle_ns else at_ns + self._idle_ns + self._idle_ns // 4

    def _index(self, caller: Caller, name: str) -> str:
        return keyed_index(self._key, "session of", caller.tenant, caller.name, name)

    def _owner_index(self, caller: Caller, identity: Identity, name: str) -> str:
        return keyed_index(self._key, "owner of session", caller.tenant, caller.name, name, *_owner(identity))

    def _memory(self, caller: Caller, identity: Identity, target: TargetFact) -> str:
        """What a subject's agents leave for each other on a server."""
        subject = identity.subject
        return keyed_index(self._key, "memory", caller.tenant, subject.issuer, subject.id, target.server)


def _first(rows: tuple[LabelRow, ...]) -> tuple[LabelRow, ...]:
    """Of each label the oldest row."""
    found: dict[str, LabelRow] = {}
    for row in rows:
        found.setdefault(row.label, row)
    return tuple(found.values())


def _verified(identity: Identity) -> bool:
    return identity.subject.check.ok and identity.agent.check.ok


def _owner(identity: Identity) -> tuple[str | None, str | None, str | None]:
    return identity.subject.issuer, identity.subject.id, identity.agent.id


def _task(caller: Caller, ask: SessionAsk) -> tuple[str | None, str]:
    if not ask.task:
        return None, "none"
    vouched = caller.may_assert.task and not ask.task_by_agent
    return ask.task, "caller" if vouched else "agent"
