"""Sessions in memory (DESIGN section 2: a session is state, never identity).

The key is (tenant, caller, session id); at first use it is bound to (issuer, subject, agent) of a verified
identity. Memory is bounded per caller, so no caller can push out another's sessions; the least recently used
session goes first, and an idle one after `idle_seconds`. A restart forgets what was counted: `known` then says so.

Whose a session is lies in the store, by keyed indexes, committed with the record of its first answer: it holds in
every process and over a restart, until the session was not used for `idle_seconds` anywhere. Only a session that is
not in memory is looked up there, by the caller of this module.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from pdp.core.check import NS, OK, failed
from pdp.core.digest import keyed_index
from pdp.core.facts import Identity, SessionFact
from pdp.core.request import Caller, SessionAsk
from pdp.core.stored import SessionRow
from pdp.sessions.options import SessionOptions

# One message for both, so that a caller learns neither the owner of a session nor whether it exists.
UNKNOWN = "The session is not known for this caller, subject and agent; start one under a new id."

_Owner = tuple[str | None, str | None, str | None]
_Sessions = OrderedDict[str, "_Session"]  # of one caller, by id; the least recently used goes first


@dataclass(slots=True)
class _Session:
    index: str  # keyed
    owner: str  # keyed index
    identity: _Owner | None  # the identity with the owner's keyed index, once one was verified
    started_ns: int
    until_ns: int  # as long the store keeps whose it is; 0: it does not know yet
    used_ns: int = 0  # when it was last kept in memory
    looked: bool = False
    calls: int = 0
    denials: int = 0


class MemorySessions:
    """Implements `ports.Sessions`. Used from the event loop's thread only."""

    def __init__(self, options: SessionOptions, key: bytes) -> None:
        """`key` makes the indexes under which the store knows sessions and owners."""
        self._options = options
        self._key = key
        self._idle_ns = options.idle_seconds * NS
        self._fresh: dict[str, tuple[_Sessions, str]] = {}  # by index: bound here, not yet durable
        self._now_ns = 0  # of the latest call: a clock that runs back revives no session
        self._callers: dict[tuple[str, str], _Sessions] = {}

    def key(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> str:
        """The keyed index of a session that is not in memory."""
        place = self._find(caller, identity, ask, at_ns)
        if place is None:
            return ""
        _, session = place
        return self._index(caller, ask.id) if session is None or _over(session, at_ns) else ""

    def look(
        self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int, row: SessionRow | None = None
    ) -> SessionFact:
        """The session's facts; binds a new id to this identity. `row`: what the store has by `key`.

        Without an id, or for an identity whose checks did not pass, the facts hold their worst values and
        nothing is kept (the gate denies the latter on its own checks). Failed checks: `session.unknown` for a
        handle (this release issues none), `session.identity_mismatch`, both in the same words.
        """
        return self._fact(caller, identity, ask, at_ns, row, binding=True)

    def peek(
        self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int, row: SessionRow | None = None
    ) -> SessionFact:
        """As `look`, without claiming a new id or counting a use."""
        return self._fact(caller, identity, ask, at_ns, row, binding=False)

    def _fact(
        self,
        caller: Caller,
        identity: Identity,
        ask: SessionAsk,
        at_ns: int,
        row: SessionRow | None,
        *,
        binding: bool,
    ) -> SessionFact:
        task, source = _task(caller, ask)
        if ask.handle:
            return SessionFact(failed("session.unknown", UNKNOWN), task=task, task_source=source)
        place = self._find(caller, identity, ask, at_ns)
        if place is None:
            return SessionFact(OK, task=task, task_source=source)
        sessions, session = place
        if session is None or _over(session, at_ns):
            session = self._bound(caller, identity, ask.id, at_ns, row)
            if binding:
                self._keep(sessions, ask.id, session)
        if not self._owns(session, caller, identity, ask.id):
            return SessionFact(failed("session.identity_mismatch", UNKNOWN), task=task, task_source=source)
        known, session.looked = session.looked, session.looked or binding
        return SessionFact(
            OK,
            known=known,
            task=task,
            task_source=source,
            calls=session.calls,
            denials=session.denials,
            started_ns=session.started_ns,
        )

    def note(self, caller: Caller, identity: Identity, ask: SessionAsk, effect: str, at_ns: int) -> None:
        """Count an answered call ("allow", "deny" or "pending") of the session's own identity."""
        place = self._find(caller, identity, ask, at_ns)
        if place is None:
            return
        sessions, session = place
        if session is None:  # idle for too long while the call was answered, or another one released it
            session = self._own(caller, identity, ask.id, at_ns)
            session.looked = True
        if not self._owns(session, caller, identity, ask.id):
            return
        if self._due(session, at_ns):
            session.until_ns = at_ns + self._kept_ns
            self._fresh.pop(session.index, None)
        session.calls += 1
        session.denials += effect == "deny"
        self._keep(sessions, ask.id, session)  # which restarts its idle time

    def binding(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionRow | None:
        """A row for a session of this identity that the store does not know yet, or would forget too soon."""
        place = self._find(caller, identity, ask, at_ns)
        if place is None:
            return None
        sessions, session = place
        if session is None or not self._due(session, at_ns) or not self._owns(session, caller, identity, ask.id):
            return None
        if not session.until_ns:
            self._fresh[session.index] = (sessions, ask.id)
        return SessionRow(session.index, session.owner, at_ns + self._kept_ns)

    def release(self, row: SessionRow) -> None:
        """A session that nothing has made durable is forgotten: another process may have been first."""
        sessions, name = self._fresh.pop(row.index, (None, ""))
        if sessions is not None:
            sessions.pop(name, None)

    @property
    def _kept_ns(self) -> int:
        """The retention of a session's owner in the store: for each use as long as memory does, though a row is
        renewed only when a fifth of its time is over."""
        return self._idle_ns + self._idle_ns // 4

    def _due(self, session: _Session, at_ns: int) -> bool:
        return session.until_ns - at_ns < self._idle_ns

    def _own(self, caller: Caller, identity: Identity, name: str, at_ns: int) -> _Session:
        """A session of this identity that the store does not know yet."""
        index = self._index(caller, name)
        return _Session(index, self._owner_index(caller, identity, name), _owner(identity), at_ns, 0)

    def _index(self, caller: Caller, name: str) -> str:
        return keyed_index(self._key, "session of", caller.tenant, caller.name, name)

    def _owner_index(self, caller: Caller, identity: Identity, name: str) -> str:
        """The owner's keyed index for one session: the store does not reveal that two belong to the same person."""
        return keyed_index(self._key, "owner of session", caller.tenant, caller.name, name, *_owner(identity))

    def _bound(self, caller: Caller, identity: Identity, name: str, at_ns: int, row: SessionRow | None) -> _Session:
        """A session as the store has it, or else one of this identity. Where the store has come to know another owner
        since `row` was read, the commit of the first answer is refused."""
        session = self._own(caller, identity, name, at_ns)
        if row is not None:
            session.until_ns = row.until_ns
            if row.owner != session.owner:
                session.owner, session.identity = row.owner, None
        return session

    def _owns(self, session: _Session, caller: Caller, identity: Identity, name: str) -> bool:
        if session.identity is None and session.owner == self._owner_index(caller, identity, name):
            session.identity = _owner(identity)
        return session.identity == _owner(identity)

    def _find(
        self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int
    ) -> tuple[_Sessions, _Session | None] | None:
        """The caller's sessions, and the one that is named unless it was idle for too long. None where no session is
        kept: without an id, and for an identity whose checks did not pass."""
        if not ask.id or ask.handle or not (identity.subject.check.ok and identity.agent.check.ok):
            return None
        self._now_ns = max(self._now_ns, at_ns)
        sessions = self._callers.setdefault((caller.tenant, caller.name), OrderedDict())
        session = sessions.get(ask.id)
        if session is None or self._now_ns - session.used_ns >= self._idle_ns:
            return sessions, None
        sessions.move_to_end(ask.id)
        return sessions, session

    def _keep(self, sessions: _Sessions, name: str, session: _Session) -> None:
        session.used_ns = self._now_ns
        sessions[name] = session
        sessions.move_to_end(name)
        while len(sessions) > self._options.max_sessions_per_caller:
            sessions.popitem(last=False)


def _over(session: _Session, at_ns: int) -> bool:
    """Whether a session read from another process has expired."""
    return 0 < session.until_ns < at_ns


def _owner(identity: Identity) -> _Owner:
    return identity.subject.issuer, identity.subject.id, identity.agent.id


def _task(caller: Caller, ask: SessionAsk) -> tuple[str | None, str]:
    if not ask.task:
        return None, "none"
    vouched = caller.may_assert.task and not ask.task_by_agent
    return ask.task, "caller" if vouched else "agent"
