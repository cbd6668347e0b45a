"""A batch answers exactly what the same calls would have got one by one.

Two worlds from one folder, with the same clock and the same randomness: one is asked call by call, the other in one
batch. Answers are compared whole, down to decision ids, salted digests and the leaf hashes of their records.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st
from support.environment import Stage, StillClock
from support.golden import PEOPLE, SERVERS, policy
from support.tools import resource
from support.world import WEDNESDAY_NS, Plan, Refused, World, create, running, serving

from pdp.core.approvals.call import CallContext
from pdp.core.check import NS
from pdp.core.errors import EngineFault, Fault
from pdp.core.outcome.evidence import answer
from pdp.decide.batch import TOGETHER
from pdp.v1 import decision_pb2, types_pb2
from pdp.wire.grpc.codec import batch as codec

pytestmark = pytest.mark.asyncio(loop_scope="module")

SETTINGS = {
    "store": {"refusals_per_minute": 10_000},
    "identity": {"callers": {"gateway": {"servers": ["git", "lab"]}}},
}
CODES = {status.name: status.value[0] for status in grpc.StatusCode}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def twins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[World, World]]:
    folder = tmp_path_factory.mktemp("t")
    plan = Plan(servers=SERVERS[:2], policy=policy(folder), settings=SETTINGS)
    one = create(folder / "one", plan, WEDNESDAY_NS)
    shutil.copytree(one.folder, folder / "two")
    two = replace(one, folder=folder / "two")
    async with (
        serving(one, plan, Stage(StillClock(WEDNESDAY_NS))) as first,
        serving(two, plan, Stage(StillClock(WEDNESDAY_NS))) as second,
    ):
        yield first, second


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One alone: twins stay twins only as long as both are asked the same."""
    folder = tmp_path_factory.mktemp("a")
    async with running(folder, Plan(servers=SERVERS[:2], policy=policy(folder), settings=SETTINGS)) as found:
        yield found


@dataclass(frozen=True)
class Step:
    """One question of a batch, in words."""

    who: str | None
    server: str
    tool: str
    arguments: Any
    session: str
    request: str
    obligations: bool = True


CALLS = [
    ("alice", "git", "git_status", {"repo_path": "/r"}),
    ("alice", "git", "git_status", {"repo_path": "/other"}),
    ("alice", "git", "git_log", {"max_count": 500}),
    ("alice", "git", "git_commit", {"message": "m"}),
    ("alice", "git", "git_status", {"wrong": 1}),
    ("alice", "git", "git_status", b'{"a": 1, "a": 2}'),
    ("bob", "git", "git_commit", {"message": "m"}),
    ("bob", "git", "git_status", {}),
    (None, "git", "git_status", {}),
    ("lee", "lab", "budgeted", {}),
    ("lee", "lab", "budgeted", {"note": "n"}),
    ("lee", "lab", "read", {}),
    ("lee", "lab", "judged", {}),
    ("lee", "lab", "obliged", {}),
    ("lee", "lab", "no_such_tool", {}),
    ("lee", "elsewhere", "read", {}),
]
STEPS = st.builds(
    lambda call, session, request, obliges: Step(*call, session, request, obliges),
    st.sampled_from(CALLS),
    st.sampled_from(["", "a", "a", "b", "with\x00control"]),
    st.sampled_from(["1", "2", "3", "4", "5", "6", "7", ""]),
    st.booleans(),
)
_runs = itertools.count()


def requests(world: World, steps: Sequence[Step]) -> list[decision_pb2.DecideRequest]:
    """The same bytes for both worlds; ids and sessions that no other example has had."""
    run, made = next(_runs), []
    tokens: dict[Any, Any] = {}
    for step in steps:
        key = (step.who, step.server)
        if key not in tokens:
            tokens[key] = world.credential(PEOPLE[step.who] if step.who else None, step.server)
        known = any(t["name"] == step.tool for s in SERVERS[:2] if s.id == step.server for t in s.tools)
        request = world.ask(
            tokens[key],
            step.tool,
            step.arguments,
            server=step.server,
            definition=None if known else b"{}",
            session=f"{step.session}-{run}" if step.session else "",
            obligations=["truncate"] if step.obligations else [],
        )
        request.request_id = f"{step.request}-{run}" if step.request else ""
        made.append(request)
    return made


def item(said: decision_pb2.DecideResponse | Refused) -> decision_pb2.BatchItem:
    """A single call's answer as a batch would show it."""
    if isinstance(said, Refused):
        error = decision_pb2.BatchError(code=CODES[said.status], message=said.message)
        return decision_pb2.BatchItem(error=error)
    return decision_pb2.BatchItem(response=said)


def comparable(items: Iterable[decision_pb2.BatchItem]) -> list[decision_pb2.BatchItem]:
    """Without randomness: each id, digest and code by the order in which it first came. What is the same stays the
    same, and what differs stays different."""
    names: dict[tuple[str, str], str] = {}

    def named(kind: str, value: str) -> str:
        return names.setdefault((kind, value), f"{kind} {len(names)}") if value else ""

    made = []
    for each in items:
        same = decision_pb2.BatchItem()
        same.CopyFrom(each)
        if same.HasField("response"):
            answer = same.response
            answer.decision_id = named("decision", answer.decision_id)
            answer.call_digest = named("call", answer.call_digest)
            answer.redemption_id = named("redemption", answer.redemption_id)
            answer.session_handle = named("handle", answer.session_handle)
            answer.record.ClearField("leaf_hash")
            for wanted in answer.pending.requirements:
                wanted.id = named("requirement", wanted.id)
                wanted.approval_id = named("approval", wanted.approval_id)
                wanted.short_code = named("code", wanted.short_code)
            if answer.HasField("pending"):
                answer.pending.resume_token = "token" if answer.pending.resume_token else ""
        made.append(same)
    return made


async def batch(world: World, asked: Sequence[decision_pb2.DecideRequest], caller: str = "gateway") -> Any:
    request = decision_pb2.DecideBatchRequest(requests=asked)
    async with world._admitted(caller, "DecideBatch") as who:
        return codec.response(await world.process.services.batch(codec.asks(request), who))


@settings(max_examples=60)
@given(steps=st.lists(STEPS, min_size=1, max_size=7))
async def test_a_batch_answers_what_single_calls_would(twins: tuple[World, World], steps: list[Step]) -> None:
    one, two = twins
    asked = requests(one, steps)
    wanted = [item(await one.decide(request)) for request in asked]
    found = await batch(two, asked)
    assert comparable(found.items) == comparable(wanted)
    assert one.process.store.size() == two.process.store.size()


async def test_the_cases_that_matter_are_drawn(twins: tuple[World, World]) -> None:
    """One batch with everything in it: each kind of answer comes about, so that the property is about them."""
    one, two = twins
    # in sessions of their own: a call that people have been asked about before opens nothing new
    steps = [Step(*call, f"of-{call[0]}", str(i)) for i, call in enumerate(CALLS)]
    steps += [Step("alice", "git", "git_status", {"repo_path": "/r"}, "of-alice", "0")]  # a repeat
    steps += [Step("alice", "git", "git_status", {"repo_path": "/x"}, "of-alice", "0")]  # an id for other content
    steps += [Step("lee", "lab", "budgeted", {}, "s", f"s{i}") for i in range(4)]  # a budget that runs out
    steps += [Step("lee", "lab", "obliged", {}, "", "unobliged", obligations=False)]
    asked = requests(one, steps)
    wanted = [item(await one.decide(request)) for request in asked]
    before = two.process.store.size()
    found = await batch(two, asked)
    assert comparable(found.items) == comparable(wanted)
    effects = {i.response.effect for i in found.items if i.HasField("response")}
    assert effects == {types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING}
    assert found.items[len(CALLS)].response == found.items[0].response
    assert found.items[len(CALLS) + 1].error.code == CODES["INVALID_ARGUMENT"]
    budget = [i.response.effect for i in found.items[len(CALLS) + 2 : len(CALLS) + 6]]
    assert budget[0] == types_pb2.EFFECT_ALLOW
    assert budget[-1] == types_pb2.EFFECT_DENY
    # one record per item, but for the repeat, in the order of the items; and one for each request that people got
    opened = {w.approval_id for i in found.items for w in i.response.pending.requirements} - {""}
    assert opened
    assert two.process.store.size() - before == len(steps) - 1 + len(opened)
    places = [i.response.record.index for i in found.items if i.HasField("response") and i != found.items[len(CALLS)]]
    assert places == sorted(places)


async def test_a_batch_that_cannot_be_recorded_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counters and replies are as before: the next call of the session is its first."""
    asked = requests(world, [Step("lee", "lab", "budgeted", {}, "lost", str(i)) for i in range(2)])
    commit_all = type(world.process.store).commit_all

    async def fails(self: Any, entries: Any) -> Any:
        return await commit_all(self, (*entries, entries[0]))  # an id twice: the store refuses the whole

    with monkeypatch.context() as patch:
        patch.setattr(type(world.process.store), "commit_all", fails)
        with pytest.raises(Fault) as refused:
            await batch(world, asked)
    assert refused.value.code == "store.entry"
    size = world.process.store.size()
    found = await batch(world, asked)
    assert [i.response.effect for i in found.items] == [types_pb2.EFFECT_ALLOW] * 2
    assert world.process.store.size() == size + 2


def with_rights(request: decision_pb2.DecideRequest, world: World, **claims: Any) -> decision_pb2.DecideRequest:
    """The same request under the same id, by a token of the same subject that says something else."""
    made = decision_pb2.DecideRequest()
    made.CopyFrom(request)
    made.credential.bearer = world.sandbox.token(PEOPLE["alice"], world.now_ns, aud=resource("git"), **claims)
    return made


RIGHTS = [
    ({"scope": ""}, types_pb2.EFFECT_DENY),
    ({"groups": []}, types_pb2.EFFECT_DENY),
    ({"client_id": "another-agent"}, types_pb2.EFFECT_ALLOW),
    ({"act": {"sub": "middleman"}}, types_pb2.EFFECT_ALLOW),
]


@pytest.mark.parametrize("kept", [False, True], ids=["in one batch", "kept before"])
@pytest.mark.parametrize(("claims", "effect"), RIGHTS, ids=["scope", "groups", "agent", "actor"])
async def test_an_allow_is_not_replayed_to_other_rights(
    twins: tuple[World, World], claims: Any, effect: Any, *, kept: bool
) -> None:
    """Neither one of this batch nor one of before; and what the other rights got is what is kept from then on."""
    one, two = twins
    [request] = requests(one, [Step("alice", "git", "git_status", {"repo_path": "/r"}, "", "rights")])
    request.credential.bearer = one.sandbox.token(PEOPLE["alice"], one.now_ns, aud=resource("git"))
    other = with_rights(request, one, **claims)
    asked = [request, other, other, request]
    wanted = [item(await one.decide(each)) for each in asked]
    if kept:
        found = [item(await two.decide(request)), *(await batch(two, asked[1:])).items]
    else:
        found = list((await batch(two, asked)).items)
    assert comparable(found) == comparable(wanted)
    first, second, third, _ = (i.response for i in found)
    assert (first.effect, second.effect) == (types_pb2.EFFECT_ALLOW, effect)
    assert len({first.decision_id, second.decision_id}) == 2
    assert third.decision_id == second.decision_id


async def test_one_verification_for_each_credential_and_server(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    subjects = type(world.process.services.decide.facts._subjects)
    identify = subjects.identify

    async def counted(self: Any, credential: Any, **more: Any) -> Any:
        seen.append((credential, more["audiences"]))
        return await identify(self, credential, **more)

    monkeypatch.setattr(subjects, "identify", counted)
    steps = [Step("alice", "git", "git_status", {}, "", str(i)) for i in range(5)]
    steps += [Step("bob", "git", "git_status", {}, "", "b"), Step("alice", "lab", "read", {}, "", "c")]
    await batch(world, requests(world, steps))
    assert len(seen) == len(set(seen)) == 3


async def test_a_switch_thrown_meanwhile_is_obeyed_by_all(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = requests(world, [Step("alice", "git", "git_status", {}, "", str(i)) for i in range(3)])
    known, thrown = world.stage.evidence.known_with, []

    async def throws(asked: CallContext, at_ns: int, /) -> Any:
        if not thrown:
            thrown.append(asked.call.digest)
            await world.switch("tool", server="git", value="git_status")
        return known(asked.call.digest, at_ns)

    monkeypatch.setattr(type(world.stage.evidence), "known", lambda _, asked, at: throws(asked, at))
    try:
        found = await batch(world, asked)
    finally:
        await world.switch("tool", server="git", value="git_status", engaged=False)
    assert {i.response.reasons[0].code for i in found.items} == {"switch.tool"}


@pytest.mark.parametrize("count", [0, 65])
async def test_a_batch_is_bounded(world: World, count: int) -> None:
    asked = requests(world, [Step("alice", "git", "git_status", {}, "", "1")]) * count
    size = world.process.store.size()
    with pytest.raises(Fault) as refused:
        await batch(world, asked)
    assert refused.value.code == "request.malformed"
    assert world.process.store.size() == size + 1  # the refusal


async def test_over_the_socket(world: World) -> None:
    asked = requests(
        world, [Step("alice", "git", "git_status", {}, "", "1"), Step("bob", "git", "git_status", {}, "", "")]
    )
    found = await world._call("DecideBatch", decision_pb2.DecideBatchRequest(requests=asked), "gateway")
    assert found.items[0].response.effect == types_pb2.EFFECT_ALLOW
    assert found.items[1].error.code == CODES["INVALID_ARGUMENT"]
    assert "request_id" in found.items[1].error.message


async def test_answers_that_can_be_had_at_once_are_had_in_a_batch_too(twins: tuple[World, World]) -> None:
    """In one session; somebody answers every requirement."""
    one, two = twins
    steps = [Step("lee", "lab", "staged", {"note": str(i)}, "answered", f"a{i}") for i in range(3)]
    steps.insert(1, Step("lee", "lab", "no_such_tool", {}, "answered", "d"))
    asked = requests(one, steps)

    def met(call: str, opened: Any, at_ns: int) -> Any:
        return tuple(answer(wanted, call, "met", at_ns + 60 * NS) for wanted in opened)

    for world in twins:
        world.stage.evidence.reset()
        world.stage.evidence.gather_with = met
    try:
        wanted = [item(await one.decide(request)) for request in asked]
        found = await batch(two, asked)
        assert two.stage.evidence.opened == one.stage.evidence.opened
    finally:
        for world in twins:
            world.stage.evidence.reset()
    assert comparable(found.items) == comparable(wanted)
    assert [i.response.effect for i in found.items] == [types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY] + [
        types_pb2.EFFECT_ALLOW
    ] * 2


async def test_calls_of_one_session_are_evaluated_once_each(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """When those before them are answered, whatever that comes to."""
    engine = world.process.state.policy.engine
    evaluated: list[bytes] = []
    evaluate = engine.evaluate

    async def counted(asked: Any) -> bytes:
        evaluated.append(asked.document)
        return await evaluate(asked)

    monkeypatch.setattr(engine, "evaluate", counted)
    steps = [Step("bob", "git", "git_commit", {"message": str(i)}, "wrong", f"w{i}") for i in range(8)]
    await batch(world, requests(world, steps))
    assert len(evaluated) == 8
    denied = [Step("lee", "lab", "no_such_tool", {}, "denied", f"d{i}") for i in range(TOGETHER + 1)]
    answers = await batch(world, requests(world, denied))
    assert {each.response.effect for each in answers.items} == {types_pb2.EFFECT_DENY}
    last = json.loads(evaluated[-1])["session"]
    assert (last["calls"], last["denials"]) == (TOGETHER, TOGETHER)


async def test_a_batch_cannot_cost_more_workers_than_its_caller_may(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the quota the rest is refused, as single calls would be."""

    async def times_out(_asked: Any) -> bytes:
        raise EngineFault("policy.timeout", "too slow")

    monkeypatch.setattr(world.process.state.policy.engine, "evaluate", times_out)
    steps = [Step("alice", "git", "git_status", {"repo_path": str(i)}, "", f"k{i}") for i in range(40)]
    found = await batch(world, requests(world, steps))
    codes = [i.response.reasons[0].code if i.HasField("response") else i.error.code for i in found.items]
    assert codes == ["policy.timeout"] * 7 + [CODES["RESOURCE_EXHAUSTED"]] * 33
    world.process.services.decide.crash_quota._kills.clear()
