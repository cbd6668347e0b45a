"""Sessions in memory (DESIGN section 2: a session is state, never identity).

The key is (tenant, caller, session id); at first use it is bound to (issuer, subject, agent) of a verified
identity. Memory is bounded per caller, so no caller can push out another's sessions; the least recently used
session goes first, and an idle one after `idle_seconds`. A restart forgets everything: `known` then says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachetools import TTLCache

from pdp.core.check import NS, OK, failed
from pdp.core.facts import Identity, SessionFact
from pdp.core.request import Caller, SessionAsk
from pdp.sessions.options import SessionOptions

# Whose a session is, and whether it exists, is nobody's business: one sentence for both.
UNKNOWN = "The session is not known for this caller, subject and agent; start one under a new id."

_Owner = tuple[str | None, str | None, str | None]


@dataclass(slots=True)
class _Session:
    owner: _Owner  # issuer, subject, agent
    started_ns: int
    looked: bool = False
    calls: int = 0
    denials: int = 0


class MemorySessions:
    """Implements `ports.Sessions`. Used from the event loop's thread only."""

    def __init__(self, options: SessionOptions) -> None:
        self._options = options
        self._at_ns = 0  # the instant of the call in progress: cachetools asks for it through `timer`
        self._callers: dict[tuple[str, str], TTLCache[str, _Session]] = {}

    def look(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionFact:
        """The session's facts; binds a new id to this identity.

        Without an id, or for an identity whose checks did not pass, the facts hold their worst values and
        nothing is kept (the gate denies the latter on its own checks). Failed checks: `session.unknown` for a
        handle (this release issues none), `session.identity_mismatch`, both in the same words.
        """
        return self._fact(caller, identity, ask, at_ns, binding=True)

    def peek(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int) -> SessionFact:
        """As `look`, but a new id stays free and nobody has looked."""
        return self._fact(caller, identity, ask, at_ns, binding=False)

    def _fact(self, caller: Caller, identity: Identity, ask: SessionAsk, at_ns: int, *, binding: bool) -> SessionFact:
        task, source = _task(caller, ask)
        if ask.handle:
            return SessionFact(failed("session.unknown", UNKNOWN), task=task, task_source=source)
        if not ask.id or not _verified(identity):
            return SessionFact(OK, task=task, task_source=source)
        sessions = self._of(caller, at_ns)
        found = sessions.get(ask.id)
        if found is None:
            found = _Session(_owner(identity), at_ns)
            if binding:
                sessions[ask.id] = found
        if found.owner != _owner(identity):
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
        if found is None:  # idle for too long while the call was answered
            found = _Session(_owner(identity), at_ns, looked=True)
        if found.owner != _owner(identity):
            return
        found.calls += 1
        found.denials += effect == "deny"
        sessions[ask.id] = found  # storing it again is what restarts its idle time

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


def _verified(identity: Identity) -> bool:
    return identity.subject.check.ok and identity.agent.check.ok


def _owner(identity: Identity) -> _Owner:
    return identity.subject.issuer, identity.subject.id, identity.agent.id


def _task(caller: Caller, ask: SessionAsk) -> tuple[str | None, str]:
    if not ask.task:
        return None, "none"
    vouched = caller.may_assert.task and not ask.task_by_agent
    return ask.task, "caller" if vouched else "agent"
