from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.for_each import for_each
from support.waiting import until

from pdp.core.errors import BundleFault, ConfigurationFault, EngineFault, Overloaded
from pdp.core.outcome.elements import EngineQuery
from pdp.core.outcome.policy import Bundle
from pdp.policy.embedded.engine import EmbeddedEngine, EngineHost
from pdp.policy.embedded.options import EmbeddedOptions, PoolOptions

Rego = Callable[..., Bundle]
Ask = Callable[..., EngineQuery]
Load = Callable[..., Awaitable[EmbeddedEngine]]
ECHO = 'decision := {"n": input.n}'
# about 25 million iterations: far beyond any deadline, far from for ever
LOOP = """square(n) := count({1 | some i in numbers.range(1, n); some j in numbers.range(1, n); i * j < 0})
decision := {"n": input.n} if not input.loop
decision := {"n": square(5000)} if input.loop
"""


async def code(engine: EmbeddedEngine, asked: EngineQuery) -> str:
    with pytest.raises(EngineFault) as caught:
        await engine.evaluate(asked)
    return caught.value.code


@pytest.mark.parametrize("workers", [1, 2])
async def test_each_of_many_gets_its_own_answer(load: Load, rego: Rego, ask: Ask, workers: int) -> None:
    engine = await load(rego(ECHO), workers=workers, deadline_ms=20_000)
    answers = await asyncio.gather(*(engine.evaluate(ask(n=n)) for n in range(200)))
    assert [json.loads(a) for a in answers] == [{"n": n} for n in range(200)]


async def test_concurrent_questions_share_round_trips(rego: Rego, ask: Ask) -> None:
    host = EngineHost(EmbeddedOptions(workers=1, pool=PoolOptions(deadline_ms=20_000)))
    try:
        engine = await host.load(rego(ECHO))
        await asyncio.gather(*(engine.evaluate(ask(n=n)) for n in range(64)))
        assert (host.counters.items, host.counters.batches) == (64, 2)
    finally:
        await host.close()


async def test_name_and_version_say_what_decided(load: Load, rego: Rego) -> None:
    engine = await load(rego(ECHO), deadline_ms=20_000)
    assert engine.name == "embedded"
    assert engine.version.startswith("regorus/")


@pytest.mark.parametrize(
    ("text", "facts", "expected"),
    [
        ("decision := {} if input.n == 2", {"n": 1}, "policy.undefined"),
        ("decision := true", {}, "policy.not_a_decision"),
        ('decision := {"a": 1 / input.n}', {"n": 0}, "policy.error"),
        ('decision := {"a": 1} if input.a\ndecision := {"a": 2} if input.b', {"a": 1, "b": 1}, "policy.error"),
    ],
)
async def test_a_failing_policy_is_a_fault(
    load: Load, rego: Rego, ask: Ask, text: str, facts: dict[str, object], expected: str
) -> None:
    assert await code(await load(rego(text), deadline_ms=20_000), ask(**facts)) == expected


async def test_faults_do_not_touch_neighbours(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego('decision := {"n": 1 / input.n} if input.n != 1'), deadline_ms=20_000)
    answers = await asyncio.gather(*(engine.evaluate(ask(n=n % 3)) for n in range(60)), return_exceptions=True)
    for n, answer in enumerate(answers):
        if n % 3 == 2:
            assert isinstance(answer, bytes)
            assert json.loads(answer) == {"n": 0.5}
        else:
            assert isinstance(answer, EngineFault)
            assert answer.code == ("policy.error", "policy.undefined")[n % 3]


async def test_calls_are_capped_and_lists_may_be_larger(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(ECHO), call_bytes=1000, list_bytes=2000, deadline_ms=20_000)
    assert json.loads(await engine.evaluate(ask(n=1, pad="x" * 900))) == {"n": 1}
    assert await code(engine, ask(n=1, pad="x" * 1000)) == "policy.input"
    assert json.loads(await engine.evaluate(ask(n=1, pad="x" * 1900, phase="list"))) == {"n": 1}
    assert await code(engine, ask(n=1, pad="x" * 2000, phase="list")) == "policy.input"


async def test_the_default_caps_hold(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(ECHO), deadline_ms=20_000)
    assert await code(engine, ask(n=1, pad="x" * (8 << 20))) == "policy.input"
    assert await code(engine, ask(b'{"n":' + b"[" * 64 + b"]" * 64 + b"}")) == "policy.input"
    assert await code(engine, ask(b'{"n":' + b"[" * 100_000 + b"]" * 100_000 + b"}")) == "policy.input"
    assert await code(engine, ask(b'{"n":"\\ud800"}')) == "policy.input"
    assert json.loads(await engine.evaluate(ask(n="\U0001f600"))) == {"n": "\U0001f600"}


async def test_large_documents_and_answers_pass_whole(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(ECHO), deadline_ms=20_000)
    pads = [chr(97 + i) * 1_000_000 for i in range(4)]
    answers = await asyncio.gather(*(engine.evaluate(ask(n=pad, phase="list")) for pad in pads))
    assert [json.loads(a)["n"] for a in answers] == pads


async def test_the_queue_is_bounded(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(ECHO), queue_items=10, deadline_ms=20_000)
    answers = await asyncio.gather(*(engine.evaluate(ask(n=n)) for n in range(12)), return_exceptions=True)
    assert [type(a) for a in answers] == [bytes] * 10 + [Overloaded] * 2
    assert json.loads(await engine.evaluate(ask(n=3))) == {"n": 3}


async def test_those_who_left_take_no_room(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(ECHO), queue_items=10, deadline_ms=20_000)
    gone = [asyncio.ensure_future(engine.evaluate(ask(n=n))) for n in range(10)]
    late = asyncio.ensure_future(_after_a_turn(engine, ask(n=11), gone))
    answers = await asyncio.gather(*gone, late, return_exceptions=True)
    assert isinstance(answers[-1], bytes)


async def _after_a_turn(engine: EmbeddedEngine, asked: EngineQuery, gone: list[asyncio.Future[bytes]]) -> bytes:
    for waiter in gone:
        waiter.cancel()
    return await engine.evaluate(asked)


async def test_a_waiter_that_leaves_in_flight_is_dropped(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(LOOP))
    leaver = asyncio.ensure_future(engine.evaluate(ask(n=1, loop=True)))
    await until(lambda: engine._pool._counters.batches == 1)
    leaver.cancel()
    assert json.loads(await engine.evaluate(ask(n=2, loop=False))) == {"n": 2}
    assert leaver.cancelled()


async def test_two_bundles_side_by_side_answer_for_themselves(load: Load, rego: Rego, ask: Ask) -> None:
    old = await load(rego('decision := {"by": "old"}'), deadline_ms=20_000)
    new = await load(rego('decision := {"by": "new"}'), deadline_ms=20_000)
    both = await asyncio.gather(*(e.evaluate(ask(n=n)) for n in range(50) for e in (old, new)))
    assert [json.loads(a) for a in both] == [{"by": "old"}, {"by": "new"}] * 50
    await old.close()
    assert json.loads(await new.evaluate(ask())) == {"by": "new"}
    assert await code(old, ask()) == "policy.unavailable"


async def test_close_leaves_no_process(load: Load, rego: Rego, children: Callable[[int], set[int]]) -> None:
    engine = await load(rego(ECHO), workers=2, deadline_ms=20_000)
    zygote = engine._zygote.pid
    assert children(zygote)
    workers = children(zygote)
    await engine.close()
    await engine.close()  # again does no harm
    assert not _alive({zygote, *workers})


async def test_close_fails_what_is_in_flight_and_queued(load: Load, rego: Rego, ask: Ask) -> None:
    engine = await load(rego(LOOP), batch_items=1, deadline_ms=20_000)
    asked = [asyncio.ensure_future(engine.evaluate(ask(n=n, loop=True))) for n in range(3)]
    await until(lambda: engine._pool._counters.batches == 1)
    await engine.close()
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [getattr(a, "code", None) for a in answers] == ["policy.unavailable"] * 3


async def test_a_bundle_that_does_not_load_is_refused(rego: Rego) -> None:
    with pytest.raises(BundleFault) as caught:
        await EngineHost().load(rego("decision := {"))
    assert caught.value.code == "bundle.load"
    assert "pdp/main.rego:" in caught.value.message


@pytest.mark.parametrize(
    "text",
    [
        f"decision := {'[' * 30}{']' * 30}",  # regorus parses this for hours
        "decision := f(1)\n\nf(x) := f(x + 1)",  # and this overflows its stack
    ],
)
async def test_a_bundle_that_hangs_or_crashes_while_it_is_loaded_is_refused(
    load: Load, rego: Rego, text: str
) -> None:
    with pytest.raises(BundleFault) as caught:
        await load(rego(text), load_seconds=0.5)
    assert caught.value.code == "bundle.load"


@for_each(
    "wrong", [{"workers": 0}, {"pool": PoolOptions(linger_ms=3)}, {"pool": PoolOptions(deadline_ms=0)}, {"depth": 65}]
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationFault, match="engine"):
        EmbeddedOptions(**wrong)


def _alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}
