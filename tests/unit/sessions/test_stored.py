"""Sessions by what the store says of them; `after` says what it will. `tests/contract` holds the stores to it."""

from dataclasses import replace
from typing import Any

import pytest

from pdp.core.approvals.rows import Answered
from pdp.core.check import OK, WORST_COUNT, failed, missing
from pdp.core.facts import WORST_LABELS, AgentFact, Identity, SessionFact, Sink, SubjectFact, TargetFact
from pdp.core.request import Caller, MayAssert, Role, SessionAsk
from pdp.core.sessions import MOST_AWAITED, MOST_LABELS, Left, after, allowed, ended, since
from pdp.core.stored import CallKeys, LabelRow, PairChange, ReplyRow, SessionRow, StoredCall
from pdp.sessions.options import SessionOptions
from pdp.sessions.stored import UNKNOWN, StoredSessions

T = 1_800_000_000_000_000_000
S = 1_000_000_000
HOUR = 3600 * S
KEY = b"k" * 32
CALLER = Caller("gw", "acme", frozenset({Role.DECIDE}), frozenset({"*"}))
SEEING = replace(CALLER, inspects_results=True)
VOUCHING = replace(SEEING, may_assert=MayAssert(task=True, context_reset=True))
ASK = SessionAsk("s-1")
READ = TargetFact(OK, "tool:fetch", "tool", "fetch", "web", labels=("untrusted",))
PLAIN = TargetFact(OK, "tool:add", "tool", "add", "calculator")


def identity(subject: Any = "alice", issuer: Any = "https://idp", agent: Any = "agent") -> Any:
    return Identity(SubjectFact(OK, "verified", subject, issuer), AgentFact(OK, "verified", agent))


ALICE, BOB = identity(), identity("bob")


class Store:
    """Everything that was committed, and reads of it."""

    def __init__(self, **options: Any) -> None:
        self.sessions = StoredSessions(SessionOptions(**options), KEY)
        self.commits: list[Left] = []

    def read(self, keys: CallKeys) -> StoredCall:
        found = StoredCall()
        for left in self.commits:
            found = after(found, keys, left)
        return found

    def look(
        self, who: Any = ALICE, ask: SessionAsk = ASK, at_ns: int = T, caller: Caller = CALLER, to: TargetFact = PLAIN
    ) -> SessionFact:
        return self._look(who, ask, at_ns, caller, to)[0]

    def _look(
        self, who: Any, ask: SessionAsk, at_ns: int, caller: Caller, to: TargetFact
    ) -> tuple[SessionFact, SessionRow | None, CallKeys, StoredCall]:
        keys = self.sessions.keys(CallKeys("acme", at_ns, 0), caller, who, ask, to)
        stored = self.read(keys)
        return *self.sessions.look(caller, who, ask, at_ns, keys, stored), keys, stored

    def call(
        self,
        who: Any = ALICE,
        ask: SessionAsk = ASK,
        at_ns: int = T,
        caller: Caller = CALLER,
        to: TargetFact = PLAIN,
        effect: str = "allow",
    ) -> SessionFact:
        """One call from its facts to its commit."""
        fact, row, keys, stored = self._look(who, ask, at_ns, caller, to)
        if not fact.check.ok or not keys.pair:
            return fact
        left = Left()
        if effect == "allow":
            name = f"d{len(self.commits)}"
            left = allowed(name, at_ns, to, fact, keys, stored, inspects=caller.inspects_results)
        reset = (PairChange(keys.pair, reset=True),) if fact.reset else ()
        row = replace(row, denials=int(effect == "deny")) if row is not None else None
        self.commits.append(replace(left, session=row, pairs=(*reset, *left.pairs)))
        return fact

    def inspect(self, who: Any = ALICE, caller: Caller = SEEING) -> None:
        """All results that are awaited were inspected, and nothing was found in them."""
        keys = self.sessions.keys(CallKeys("acme", T, 0), caller, who, ASK, PLAIN)
        awaits = [
            name for left in self.commits for each in left.pairs if each.pair == keys.pair for name in each.awaits
        ]
        self.commits.append(Left(pairs=(PairChange(keys.pair, inspected=tuple(awaits)),)))


def test_a_session_counts_its_calls() -> None:
    store = Store()
    first = store.call(effect="allow")
    assert (first.check.ok, first.known, first.calls, first.denials, first.started_ns) == (True, False, 0, 0, T)
    for effect in ("deny", "pending"):
        store.call(effect=effect, at_ns=T + S)
    then = store.look(at_ns=T + 2 * S)
    assert (then.known, then.calls, then.denials, then.started_ns) == (True, 3, 1, T)


def test_looking_leaves_no_trace() -> None:
    store = Store()
    assert store.look().check.ok
    assert store.look(BOB).check.ok
    assert store.call(BOB).check.ok
    assert store.look().check.code == "session.identity_mismatch"


def test_nothing_is_kept_but_keyed_indexes() -> None:
    store = Store()
    store.call(ask=replace(ASK, task="send it"), caller=VOUCHING, to=READ)
    (left,) = store.commits
    said = repr(left)
    assert not [word for word in ("alice", "s-1", "'gw'", "acme", "agent", "send it") if word in said]


def test_no_session_has_the_worst_values() -> None:
    store = Store()
    store.call(ask=SessionAsk(), caller=SEEING)
    found = store.look(ask=SessionAsk(), caller=SEEING)
    assert found.check.ok
    assert (found.known, found.calls, found.denials, found.started_ns) == (False, WORST_COUNT, WORST_COUNT, 0)
    assert (found.observed, found.labels) == (False, WORST_LABELS)


@pytest.mark.parametrize("other", [identity("bob"), identity(issuer="https://x"), identity(agent="other")])
def test_a_session_of_somebody_else_reads_like_an_unknown_one(other: Any) -> None:
    store = Store()
    store.call(to=READ)
    found = store.look(other)
    assert (found.check.status, found.check.code) == ("failed", "session.identity_mismatch")
    unknown = store.look(other, SessionAsk(handle="h"))
    assert unknown.check.code == "session.unknown"
    assert found.check.message == unknown.check.message
    assert replace(found, check=unknown.check) == unknown  # and shows nothing of the session
    store.call(other, effect="deny")
    assert store.look().denials == 0


@pytest.mark.parametrize("caller", [replace(CALLER, name="gw2"), replace(CALLER, tenant="other")])
def test_the_same_id_elsewhere_is_another_session(caller: Any) -> None:
    store = Store()
    store.call()
    found = store.look(BOB, caller=caller)
    assert (found.check.ok, found.calls) == (True, 0)


@pytest.mark.parametrize(
    "unverified",
    [
        Identity(SubjectFact(failed("subject.expired", ""), id="alice"), ALICE.agent),
        Identity(ALICE.subject, AgentFact(missing("agent.missing", ""), id="agent")),
    ],
)
def test_an_identity_that_failed_its_checks_binds_and_counts_nothing(unverified: Any) -> None:
    store = Store()
    found = store.call(unverified, caller=VOUCHING, ask=replace(ASK, context_reset=True))
    assert (found.check.ok, found.known, found.calls, found.observed) == (True, False, WORST_COUNT, False)
    assert store.commits == []


def test_the_task_says_who_stated_it() -> None:
    store = Store()
    ask = SessionAsk("s", task="tidy up")
    seen = [store.look(ask=a, caller=c) for c, a in ((CALLER, ask), (VOUCHING, ask), (VOUCHING, ASK))]
    assert [(f.task, f.task_source) for f in seen] == [("tidy up", "agent"), ("tidy up", "caller"), (None, "none")]
    assert seen[0].fact()["task"] is None


def test_the_first_vouched_task_is_the_sessions() -> None:
    store, mine = Store(), replace(ASK, task="pay the rent")
    other = replace(ASK, task="pay Mallory")
    assert store.call(caller=VOUCHING).check.ok  # without one
    assert store.call(ask=replace(other, task_by_agent=True), caller=VOUCHING).check.ok  # which only an agent says
    assert store.call(ask=mine, caller=VOUCHING, effect="deny").check.ok
    assert store.call(ask=other, caller=VOUCHING).check.code == "session.task_changed"
    assert store.call(ask=mine, caller=VOUCHING).check.ok
    assert store.call(ask=ASK, caller=VOUCHING).task is None
    assert store.call(ask=replace(other, task_by_agent=True), caller=VOUCHING).task_source == "agent"
    assert store.call(ask=replace(other, id="s-2"), caller=VOUCHING).check.ok


def test_an_idle_session_is_over_and_use_keeps_it() -> None:
    store = Store(idle_seconds=60)
    store.call(ask=replace(ASK, task="one"), caller=VOUCHING)
    store.call(at_ns=T + 59 * S)
    assert store.look(at_ns=T + 118 * S).calls == 2
    late = store.call(ask=replace(ASK, task="two"), caller=VOUCHING, at_ns=T + 119 * S)
    assert (late.check.ok, late.calls, late.started_ns) == (True, 0, T + 119 * S)
    assert store.look(at_ns=T + 120 * S).calls == 1


def test_a_session_is_over_however_much_it_is_used() -> None:
    store = Store(lifetime_seconds=100)
    for n in range(0, 100, 10):
        assert store.call(at_ns=T + n * S).calls == n // 10
    assert store.call(at_ns=T + 100 * S).calls == 0


def test_sessions_of_older_releases_have_the_worst_counts() -> None:
    store = Store()
    store.call()
    (left,) = store.commits
    assert left.session is not None
    store.commits = [Left(replace(left.session, opened_ns=0, used_ns=0, calls=0))]
    for n in range(3):
        found = store.call(at_ns=T + n * S)
        assert (found.check.ok, found.known, found.calls, found.denials) == (True, False, WORST_COUNT, WORST_COUNT)


def test_labels_are_the_worst_where_nobody_inspects_results() -> None:
    store = Store()
    assert (store.look().observed, store.look().labels) == (False, WORST_LABELS)
    store.call(to=replace(READ, labels=("secret-plans",)))
    found = store.look()
    assert (found.observed, found.labels) == (False, (*WORST_LABELS, "secret-plans"))
    seen = store.look(caller=SEEING)  # by another way, the same agent
    assert (seen.observed, seen.labels) == (False, (*WORST_LABELS, "secret-plans"))
    assert [(each.label, each.decision_id) for each in seen.label_sources] == [
        ("secret-plans", "d0"),
        ("unobserved", "d0"),
    ]


def test_a_new_session_a_batch_and_a_parallel_call_shed_no_label() -> None:
    store = Store()
    clean = store.call(caller=SEEING)
    assert (clean.observed, clean.labels) == (True, ())
    parallel = store.look(caller=SEEING)  # before the result was inspected
    assert (parallel.observed, parallel.labels) == (False, WORST_LABELS)
    store.inspect()
    assert store.look(caller=SEEING).observed
    store.call(caller=SEEING, to=READ)
    store.inspect()
    for ask in (ASK, SessionAsk("s-2")):
        found = store.look(ask=ask, caller=SEEING)
        assert (found.observed, found.labels) == (True, ("untrusted",))
    (source,) = store.look(caller=SEEING).label_sources
    assert (source.label, source.code, source.decision_id) == ("untrusted", "manifest.labels", "d2")
    for other in (BOB, identity(agent="other"), identity(issuer="https://x")):
        assert store.look(other, SessionAsk("s-3"), caller=SEEING).labels == ()


def test_what_was_denied_leaves_no_label() -> None:
    store = Store()
    for effect in ("deny", "pending"):
        store.call(caller=SEEING, to=READ, effect=effect)
    assert (store.look(caller=SEEING).observed, store.look(caller=SEEING).labels) == (True, ())


def test_only_a_caller_that_may_say_so_clears_the_labels() -> None:
    store, reset = Store(), replace(ASK, context_reset=True)
    store.call(caller=SEEING, to=READ)
    store.call()  # which nobody inspects
    assert not store.call(ask=reset, caller=SEEING, effect="deny").observed
    assert not store.look(caller=SEEING).observed
    found = store.call(ask=reset, caller=VOUCHING, effect="deny")
    assert (found.observed, found.labels, found.label_sources) == (True, (), ())
    assert (store.look(caller=SEEING).observed, store.look(caller=SEEING).labels) == (True, ())
    store.call(ask=reset, caller=VOUCHING, to=READ)  # the call that comes with it labels again
    assert not store.look(caller=SEEING).observed
    store.inspect()
    assert store.look(caller=SEEING).labels == ("untrusted",)


def test_a_memory_brings_back_what_was_put_into_it() -> None:
    store, reset = Store(), replace(ASK, context_reset=True)
    note = replace(PLAIN, server="notes", sinks=(Sink("memory"),))
    store.call(caller=SEEING, to=READ)
    store.inspect()
    store.call(caller=SEEING, to=note)
    store.inspect()
    store.call(ask=reset, caller=VOUCHING)
    store.inspect()
    assert store.look(caller=SEEING).labels == ()
    recall = replace(PLAIN, server="notes")
    for who, labels in ((identity(agent="other"), ("untrusted",)), (ALICE, ("untrusted",)), (BOB, ())):
        ask = SessionAsk(f"of {who.subject.id} {who.agent.id}")
        store.call(who, ask, caller=SEEING, to=recall)
        store.inspect(who)
        found = store.look(who, ask, caller=SEEING)
        assert (found.observed, found.labels) == (True, labels)
    assert store.look(caller=SEEING).label_sources[0].decision_id == "d0"  # where it came from


def test_too_many_labels_are_the_worst() -> None:
    store = Store()
    many = tuple(f"l{n}" for n in range(MOST_LABELS + 1))
    store.call(caller=SEEING, to=replace(READ, labels=many[:-1]))
    store.inspect()
    assert store.look(caller=SEEING).observed
    store.call(caller=SEEING, to=replace(READ, labels=many))
    store.inspect()
    found = store.look(caller=SEEING)
    assert (found.observed, found.labels[:2]) == (False, WORST_LABELS)


def test_too_many_awaited_results_are_never_inspected() -> None:
    store = Store()
    for _ in range(MOST_AWAITED):
        store.call(caller=SEEING)
    awaited = sum(len(each.awaits) for left in store.commits for each in left.pairs)
    store.call(caller=SEEING)
    assert sum(len(each.awaits) for left in store.commits for each in left.pairs) == awaited == MOST_AWAITED
    store.inspect()
    assert not store.look(caller=SEEING).observed


def test_labels_are_written_once() -> None:
    store = Store()
    for _ in range(3):
        store.call(to=READ)
    assert [bool(left.labels) for left in store.commits] == [True, False, False]


def test_the_row_of_a_label_is_its_first() -> None:
    row = LabelRow("p", "untrusted", "c", "", "d1", T)
    keys = CallKeys("acme", T, 0, pair="p")
    there = after(StoredCall(), keys, Left(labels=(row,)))
    again = after(there, keys, Left(labels=(replace(row, decision_id="d2", at_ns=T - 1),)))
    assert again.labels == (row,)


def test_verdicts_and_answers_of_an_earlier_session_are_nothing() -> None:
    judged = Answered("digest", "r" * 64, "acme", "judge", b"{}", T + HOUR, T)
    reply = ReplyRow("k", "c", "decide", "allow", b"", "", T + HOUR, T)
    refused = replace(judged, refused=True)
    there = StoredCall(reply=reply, redeemed=reply, answers=(judged, refused))
    assert since(there, T) == there
    assert since(there, T + 1) == StoredCall(answers=(refused,))  # a refusal is not shopped away


def test_an_ended_session_is_unknown_for_as_long_as_its_row_is_kept() -> None:
    store = Store()
    store.call()
    (left,) = store.commits
    assert left.session is not None
    store.commits = [Left(ended(left.session, T + S))]
    for at_ns in (T + S, T + HOUR, T + 1000 * HOUR):
        found = store.look(at_ns=at_ns)
        assert (found.check.code, found.check.message) == ("session.unknown", UNKNOWN)
    assert store.look(BOB).check.message == UNKNOWN


def test_options_refuse_unknown_keys() -> None:
    with pytest.raises(ValueError, match="ttl"):
        SessionOptions(ttl=1)  # type: ignore[call-arg] # that is the point
