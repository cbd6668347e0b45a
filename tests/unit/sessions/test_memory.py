"""Session memory."""

from dataclasses import replace
from typing import Any

import pytest
from typing_extensions import override

from pdp.core.check import OK, WORST_COUNT, failed, missing
from pdp.core.facts import WORST_LABELS, AgentFact, Identity, SessionFact, SubjectFact
from pdp.core.request import Caller, MayAssert, Role, SessionAsk
from pdp.core.stored import SessionRow
from pdp.sessions.memory import MemorySessions
from pdp.sessions.options import SessionOptions

T = 1_800_000_000_000_000_000
S = 1_000_000_000
CALLER = Caller("gw", "acme", frozenset({Role.DECIDE}), frozenset({"*"}))
ALICE = Identity(SubjectFact(OK, "verified", "alice", "https://idp"), AgentFact(OK, "verified", "agent"))
ASK = SessionAsk("s-1")


class Kept:
    """Whose sessions are, as a store keeps it; `fails` as one that is away."""

    def __init__(self) -> None:
        self.rows: dict[str, SessionRow] = {}
        self.reads = 0

    def session(self, index: str) -> SessionRow | None:
        self.reads += 1
        return self.rows.get(index)

    def answered(self, memory: MemorySessions, who: Identity, ask: SessionAsk, at_ns: int) -> SessionRow | None:
        """One call from look to note, its record durable."""
        assert memory.look(CALLER, who, ask, at_ns).check.ok
        row = memory.binding(CALLER, who, ask, at_ns)
        if row is not None:
            self.rows[row.index] = row
        memory.note(CALLER, who, ask, "allow", at_ns)
        if row is not None:
            memory.release(row)
        return row


class Reading(MemorySessions):
    """With a store that is read as the service reads it: by `key`, before each look."""

    def __init__(self, options: SessionOptions, kept: Kept) -> None:
        super().__init__(options, b"k" * 32)
        self._kept = kept

    @override
    def look(self, *call: Any, row: SessionRow | None = None) -> SessionFact:
        index = self.key(*call)
        return super().look(*call, self._kept.session(index) if index else row)

    @override
    def peek(self, *call: Any, row: SessionRow | None = None) -> SessionFact:
        index = self.key(*call)
        return super().peek(*call, self._kept.session(index) if index else row)


def sessions(kept: Kept | None = None, **options: Any) -> MemorySessions:
    return Reading(SessionOptions(**options), kept or Kept())


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


def mismatch(memory: MemorySessions, who: Identity, at_ns: int, ask: SessionAsk = ASK) -> bool:
    found = memory.look(CALLER, who, ask, at_ns).check
    assert found.code in ("", "session.identity_mismatch")
    return not found.ok


BOB = identity("bob")
HOUR = 3600 * S


def test_whose_a_session_is_holds_over_a_restart() -> None:
    kept = Kept()
    row = kept.answered(sessions(kept), ALICE, ASK, T)
    assert row is not None
    assert not {"alice", "s-1", "gw", "acme", "agent"} & {row.index, row.owner}  # nothing but keyed indexes
    again = sessions(kept)
    assert mismatch(again, BOB, T + S)
    assert mismatch(again, identity(agent="other"), T + S)
    found = again.look(CALLER, ALICE, ASK, T + S)  # whoever asked before her
    assert (found.check.ok, found.known, found.calls) == (True, False, 0)
    assert again.binding(CALLER, ALICE, ASK, T + S) is None
    other = SessionAsk("s-2")
    assert not mismatch(again, BOB, T + S, other)


def test_a_session_in_memory_is_not_looked_up() -> None:
    kept = Kept()
    memory = sessions(kept)
    assert kept.answered(memory, ALICE, ASK, T) is not None
    for n in range(20):
        assert kept.answered(memory, ALICE, ASK, T + n * S) is None
        assert mismatch(memory, BOB, T + n * S)
    assert kept.reads == 1
    stranger = sessions(kept)
    assert all(mismatch(stranger, BOB, T + n) for n in range(20))  # nor one that is another's
    assert kept.reads == 2


def test_whose_it_is_is_kept_until_it_was_idle_for_long() -> None:
    kept = Kept()
    memory = sessions(kept, idle_seconds=3600)
    first = kept.answered(memory, ALICE, ASK, T)
    renewed = [n for n in range(1, 13) if kept.answered(memory, ALICE, ASK, T + n * HOUR // 12) is not None]
    assert renewed == [4, 8, 12]  # a row lasts an hour longer than its last use, and is seldom written
    assert first is not None
    (row,) = kept.rows.values()
    assert row.until_ns == T + 2 * HOUR + HOUR // 4
    # memory forgets after an hour; the store still knows
    assert mismatch(memory, BOB, T + 2 * HOUR)


def test_what_is_anothers_is_looked_up_again_when_it_may_be_over() -> None:
    kept = Kept()
    row = kept.answered(sessions(kept, idle_seconds=3600), ALICE, ASK, T)
    assert row is not None
    memory = sessions(kept, idle_seconds=3600)
    assert mismatch(memory, BOB, row.until_ns)  # remembered for an hour, but hers for no more than this instant
    assert mismatch(memory, BOB, row.until_ns + 1)  # the store does not believe the clock, say
    kept.rows.clear()
    assert not mismatch(memory, BOB, row.until_ns + 2)
    assert mismatch(memory, ALICE, row.until_ns + 2)


def test_what_was_not_made_durable_is_nobodys() -> None:
    """Another process was first, say: its commit is read when the question is decided again."""
    kept = Kept()
    memory = sessions(kept)
    assert memory.look(CALLER, ALICE, ASK, T).check.ok
    row = memory.binding(CALLER, ALICE, ASK, T)
    assert row is not None
    assert mismatch(memory, BOB, T)  # for as long as it is under way
    memory.release(row)
    theirs = kept.answered(sessions(kept), BOB, ASK, T)
    assert theirs is not None
    assert mismatch(memory, ALICE, T)
    assert not mismatch(memory, BOB, T)


def test_one_of_two_calls_under_way_makes_it_durable_for_both() -> None:
    kept = Kept()
    memory = sessions(kept)
    memory.look(CALLER, ALICE, ASK, T)
    rows = [memory.binding(CALLER, ALICE, ASK, T) for _ in range(2)]
    memory.note(CALLER, ALICE, ASK, "allow", T)
    for row in rows:
        assert row is not None
        memory.release(row)
    assert (memory.look(CALLER, ALICE, ASK, T).calls, kept.reads) == (1, 1)
    memory.look(CALLER, ALICE, other := SessionAsk("s-2"), T)
    row = memory.binding(CALLER, ALICE, other, T)
    assert row is not None
    memory.release(row)  # the first gave up
    memory.note(CALLER, ALICE, other, "allow", T)
    assert mismatch(memory, BOB, T, other)


def test_no_verified_session_is_bound() -> None:
    memory = sessions()
    nobody = replace(ALICE, subject=SubjectFact(failed("subject.expired", "Late.")))
    for who, ask in ((nobody, ASK), (ALICE, SessionAsk()), (ALICE, SessionAsk("s", handle="h"))):
        memory.look(CALLER, who, ask, T)
        assert memory.binding(CALLER, who, ask, T) is None
    memory.peek(CALLER, ALICE, ASK, T)
    assert memory.binding(CALLER, ALICE, ASK, T) is None  # a glance binds nothing
