"""Session memory."""

from dataclasses import replace
from typing import Any

import pytest

from pdp.core.check import OK, WORST_COUNT, failed, missing
from pdp.core.facts import WORST_LABELS, AgentFact, Identity, SubjectFact
from pdp.core.request import Caller, MayAssert, Role, SessionAsk
from pdp.sessions.memory import MemorySessions
from pdp.sessions.options import SessionOptions

T = 1_800_000_000_000_000_000
S = 1_000_000_000
CALLER = Caller("gw", "acme", frozenset({Role.DECIDE}), frozenset({"*"}))
ALICE = Identity(SubjectFact(OK, "verified", "alice", "https://idp"), AgentFact(OK, "verified", "agent"))
ASK = SessionAsk("s-1")


def sessions(**options: Any) -> Any:
    return MemorySessions(SessionOptions(**options))


def identity(subject: Any = "alice", issuer: Any = "https://idp", agent: Any = "agent") -> Any:
    return Identity(SubjectFact(OK, "verified", subject, issuer), AgentFact(OK, "verified", agent))


def test_a_session_counts_its_calls() -> None:
    memory = sessions()
    first = memory.look(CALLER, ALICE, ASK, T)
    assert (first.check.ok, first.known, first.calls, first.denials, first.started_ns) == (True, False, 0, 0, T)
    for effect in ("allow", "deny", "pending"):
        memory.note(CALLER, ALICE, ASK, effect, T + S)
    then = memory.look(CALLER, ALICE, ASK, T + 2 * S)
    assert (then.known, then.calls, then.denials, then.started_ns) == (True, 3, 1, T)


def test_labels_are_the_worst_until_results_are_observed() -> None:
    memory = sessions()
    memory.note(CALLER, ALICE, ASK, "allow", T)
    found = memory.look(CALLER, ALICE, ASK, T)
    assert (found.observed, found.labels) == (False, WORST_LABELS)


def test_no_session_has_the_worst_values() -> None:
    memory = sessions()
    memory.note(CALLER, ALICE, SessionAsk(), "allow", T)
    found = memory.look(CALLER, ALICE, SessionAsk(), T)
    assert found.check.ok
    assert (found.known, found.calls, found.denials, found.started_ns) == (False, WORST_COUNT, WORST_COUNT, 0)


@pytest.mark.parametrize("other", [identity("bob"), identity(issuer="https://x"), identity(agent="other")])
def test_a_session_of_somebody_else_reads_like_an_unknown_one(other: Any) -> None:
    memory = sessions()
    memory.look(CALLER, ALICE, ASK, T)  # bound here
    found = memory.look(CALLER, other, ASK, T)
    assert (found.check.status, found.check.code) == ("failed", "session.identity_mismatch")
    unknown = memory.look(CALLER, other, SessionAsk(handle="h"), T)
    assert unknown.check.code == "session.unknown"
    assert found.check.message == unknown.check.message
    assert replace(found, check=unknown.check) == unknown  # and shows nothing of the session
    memory.note(CALLER, other, ASK, "deny", T)
    assert memory.look(CALLER, ALICE, ASK, T).denials == 0


@pytest.mark.parametrize("caller", [replace(CALLER, name="gw2"), replace(CALLER, tenant="other")])
def test_the_same_id_elsewhere_is_another_session(caller: Any) -> None:
    memory = sessions()
    memory.look(CALLER, ALICE, ASK, T)
    found = memory.look(caller, identity("bob"), ASK, T)
    assert found.check.ok
    assert not found.known


@pytest.mark.parametrize(
    "unverified",
    [
        Identity(SubjectFact(failed("subject.expired", ""), id="alice"), ALICE.agent),
        Identity(ALICE.subject, AgentFact(missing("agent.missing", ""), id="agent")),
    ],
)
def test_an_identity_that_failed_its_checks_binds_and_counts_nothing(unverified: Any) -> None:
    memory = sessions()
    found = memory.look(CALLER, unverified, ASK, T)
    assert (found.check.ok, found.known, found.calls) == (True, False, WORST_COUNT)
    memory.note(CALLER, unverified, ASK, "deny", T)
    first = memory.look(CALLER, identity("bob"), ASK, T)
    assert (first.check.ok, first.known, first.denials) == (True, False, 0)


def test_the_task_says_who_stated_it() -> None:
    memory = sessions()
    ask = SessionAsk("s", task="tidy up")
    vouching = replace(CALLER, may_assert=MayAssert(task=True))
    seen = [memory.look(c, ALICE, a, T) for c, a in ((CALLER, ask), (vouching, ask), (vouching, ASK))]
    assert [(f.task, f.task_source) for f in seen] == [("tidy up", "agent"), ("tidy up", "caller"), (None, "none")]
    assert seen[0].fact()["task"] is None


def test_an_idle_session_is_forgotten_and_use_keeps_it() -> None:
    memory = sessions(idle_seconds=60)
    memory.note(CALLER, ALICE, ASK, "allow", T)
    memory.note(CALLER, ALICE, ASK, "allow", T + 59 * S)
    assert memory.look(CALLER, ALICE, ASK, T + 118 * S).calls == 2
    assert memory.look(CALLER, ALICE, ASK, T + 119 * S).calls == 0
    assert memory.look(CALLER, identity("bob"), ASK, T + 179 * S).check.ok  # free for anyone again


def test_a_clock_that_runs_back_revives_nothing() -> None:
    memory = sessions(idle_seconds=60)
    memory.note(CALLER, ALICE, ASK, "allow", T)
    assert not memory.look(CALLER, ALICE, ASK, T + 60 * S).known
    assert memory.look(CALLER, ALICE, ASK, T).calls == 0


def test_memory_is_bounded_per_caller() -> None:
    memory = sessions(max_sessions_per_caller=3)
    other = replace(CALLER, name="gw2")
    memory.note(other, ALICE, ASK, "allow", T)
    for n in range(5):
        memory.note(CALLER, ALICE, SessionAsk(f"s{n}"), "allow", T)
    known = [n for n in range(5) if memory.look(CALLER, ALICE, SessionAsk(f"s{n}"), T).known]
    assert len(known) <= 3
    assert memory.look(other, ALICE, ASK, T).calls == 1


def test_the_least_recently_used_goes_first() -> None:
    memory = sessions(max_sessions_per_caller=2)
    for n in (0, 1):
        memory.note(CALLER, ALICE, SessionAsk(f"s{n}"), "allow", T)
    memory.look(CALLER, ALICE, SessionAsk("s0"), T)
    memory.look(CALLER, ALICE, SessionAsk("s2"), T)
    assert memory.look(CALLER, ALICE, SessionAsk("s0"), T).calls == 1
    assert memory.look(CALLER, ALICE, SessionAsk("s1"), T).calls == 0


def test_options_refuse_unknown_keys() -> None:
    with pytest.raises(ValueError, match="ttl"):
        SessionOptions(ttl=1)


def test_peeking_says_the_same_and_leaves_no_trace() -> None:
    memory = sessions()
    new = memory.peek(CALLER, ALICE, ASK, T)
    assert (new.check.ok, new.known, new.calls) == (True, False, 0)
    # the id is still free: another subject may be the first
    assert memory.look(CALLER, identity("bob"), ASK, T).check.ok
    assert memory.peek(CALLER, ALICE, ASK, T).check.code == "session.identity_mismatch"
    assert not memory.peek(CALLER, identity("bob"), SessionAsk("other"), T).known
    memory.note(CALLER, identity("bob"), ASK, "deny", T)
    seen = memory.peek(CALLER, identity("bob"), ASK, T)
    assert seen == memory.look(CALLER, identity("bob"), ASK, T)
    assert (seen.known, seen.calls, seen.denials) == (True, 1, 1)


def test_whoever_only_peeked_is_not_known() -> None:
    memory = sessions()
    memory.look(CALLER, ALICE, SessionAsk("elsewhere"), T)
    assert not memory.peek(CALLER, ALICE, ASK, T).known
    assert not memory.look(CALLER, ALICE, ASK, T).known
