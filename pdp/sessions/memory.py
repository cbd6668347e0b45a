"""Sessions in memory (DESIGN section 2: a session is state, never identity).

The key is (tenant, caller, session id); at first use it is bound to (issuer, subject, agent) of a verified
identity. Memory is bounded per caller, so no caller can push out another's sessions; the least recently used
session goes first, and an idle one after `idle_seconds`. A restart forgets what was counted: `known` then says so.

Whose a session is lies in the store, by keyed indexes, committed with the record of its first answer: it holds in
every process and over a restart, until the session was not used for `idle_seconds` anywhere. Only a session that is
not in memory is looked up there, by the caller of this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache

from pdp.core.check import NS, OK, failed
from pdp.core.digest import keyed_index
from pdp.core.facts import Identity, SessionFact
from pdp.core.request import Caller, SessionAsk
from pdp.core.stored import SessionRow
from pdp.sessions.options import SessionOptions

# Whose a session is, and whether it exists, is nobody's business: one sentence for both.
UNKNOWN = "The session is not known for this caller, subject and agent; start one under a new id."

_Owner = tuple[str | None, str | None, str | None]


@dataclass(slots=True)
class _Session:
    index: str  # keyed
    owner: str  # keyed index
    identity: _Owner | None  # whose keyed index is the owner's, once somebody was found to be it
    started_ns: int
    until_ns: int  # as long the store keeps whose it is; 0: it does not know yet
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
        self._fresh: dict[str, tuple[TTLCache[str, _Session], str]] = {}  # by index: bound here, not yet durable
        self._at_ns = 0  # the instant of the call in progress: cachetools asks for it through `timer`
        self._callers: dict[tuple[str, str], TTLCache[str, _Session]] = {}

    def key(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> str:
        """The keyed index of a session that is not in memory."""
        if not ask.id or ask.handle or not _verified(identity):
            return ""
        session = self._of(caller, at_ns).get(ask.id)
        return "" if session is not None and not _over(session, at_ns) else self._index(caller, ask.id)

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
        """As `look`, but a new id stays free and nobody has looked."""
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
        if not ask.id or not _verified(identity):
            return SessionFact(OK, task=task, task_source=source)
        sessions = self._of(caller, at_ns)
        found = sessions.get(ask.id)
        if found is None or _over(found, at_ns):
            found = self._bound(caller, identity, ask.id, at_ns, row)
            if binding:
                sessions[ask.id] = found
        if not self._owns(found, caller, identity, ask.id):
            return SessionFact(failed("session.identity_mismatch", UNKNOWN), task=task, task_source=source)
        known, found.looked = found.looked, found.looked or binding
        return SessionFact(
            OK,
            known=known,
            task=task,
            task_source=source,
            calls=found.calls,
            denials=found.denials,
            started_ns=found.started_ns,
        )

    def note(self, caller: Caller, identity: Identity, ask: SessionAsk, effect: str, at_ns: int) -> None:
        """Count an answered call ("allow", "deny" or "pending") of the session's own identity."""
        if not ask.id or ask.handle or not _verified(identity):
            return
        sessions = self._of(caller, at_ns)
        found = sessions.get(ask.id)
        if found is None:  # idle for too long while the call was answered, or another one released it
            found = self._own(caller, identity, ask.id, at_ns)
            found.looked = True
        if not self._owns(found, caller, identity, ask.id):
            return
        if self._due(found, at_ns):
            found.until_ns = at_ns + self._kept_ns
            self._fresh.pop(found.index, None)
        found.calls += 1
        found.denials += effect == "deny"
        sessions[ask.id] = found  # storing it again is what restarts its idle time

    def binding(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionRow | None:
        """A row for a session of this identity that the store does not know yet, or would forget too soon."""
        if not ask.id or ask.handle or not _verified(identity):
            return None
        sessions = self._of(caller, at_ns)
        found = sessions.get(ask.id)
        if found is None or not self._due(found, at_ns) or not self._owns(found, caller, identity, ask.id):
            return None
        if not found.until_ns:
            self._fresh[found.index] = (sessions, ask.id)
        return SessionRow(found.index, found.owner, at_ns + self._kept_ns)

    def release(self, row: SessionRow) -> None:
        """A session that nothing has made durable is forgotten: another process may have been first."""
        sessions, name = self._fresh.pop(row.index, (None, ""))
        if sessions is not None:
            sessions.pop(name, None)

    @property
    def _kept_ns(self) -> int:
        """How long the store keeps whose a session is: for each use as long as memory does, though a row is renewed
        only when a fifth of its time is over."""
        return self._idle_ns + self._idle_ns // 4

    def _due(self, found: _Session, at_ns: int) -> bool:
        return found.until_ns - at_ns < self._idle_ns

    def _own(self, caller: Caller, identity: Identity, name: str, at_ns: int) -> _Session:
        """A session of this identity that the store does not know yet."""
        index = self._index(caller, name)
        return _Session(index, self._owner_index(caller, identity, name), _owner(identity), at_ns, 0)

    def _index(self, caller: Caller, name: str) -> str:
        return keyed_index(self._key, "session of", caller.tenant, caller.name, name)

    def _owner_index(self, caller: Caller, identity: Identity, name: str) -> str:
        """Of one session: that two belong to the same person cannot be seen in the store."""
        return keyed_index(self._key, "owner of session", caller.tenant, caller.name, name, *_owner(identity))

    def _bound(self, caller: Caller, identity: Identity, name: str, at_ns: int, row: SessionRow | None) -> _Session:
        """A session as the store has it, or else one of this identity. Where the store has come to know another owner
        since `row` was read, the commit of the first answer is refused."""
        found = self._own(caller, identity, name, at_ns)
        if row is not None:
            found.until_ns = row.until_ns
            if row.owner != found.owner:
                found.owner, found.identity = row.owner, None
        return found

    def _owns(self, found: _Session, caller: Caller, identity: Identity, name: str) -> bool:
        if found.identity is None and found.owner == self._owner_index(caller, identity, name):
            found.identity = _owner(identity)
        return found.identity == _owner(identity)

    def _of(self, caller: Caller, at_ns: int) -> TTLCache[str, _Session]:
        self._at_ns = max(self._at_ns, at_ns)
        key = (caller.tenant, caller.name)
        sessions = self._callers.get(key)
        if sessions is None:
            sessions = TTLCache(
                self._options.max_sessions_per_caller,
                self._options.idle_seconds * NS,
                timer=lambda: self._at_ns,
            )
            self._callers[key] = sessions
        return sessions


def _over(session: _Session, at_ns: int) -> bool:
    """What was read of another process's session may be over."""
    return 0 < session.until_ns < at_ns


def _verified(identity: Identity) -> bool:
    return identity.subject.check.ok and identity.agent.check.ok


def _owner(identity: Identity) -> _Owner:
    return identity.subject.issuer, identity.subject.id, identity.agent.id


def _task(caller: Caller, ask: SessionAsk) -> tuple[str | None, str]:
    if not ask.task:
        return None, "none"
    vouched = caller.may_assert.task and not ask.task_by_agent
    return ask.task, "caller" if vouched else "agent"
