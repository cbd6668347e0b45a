"""Another `service.index_key` of a whole process: what counted before counts after it; no start splits a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from support.approvers import Approvers, waiting
from support.bank import budget, call, figures, plan, stage
from support.world import WEDNESDAY_NS, World, answered, codes, create, serving
from test_inspection import inspect, stream, text

from devtools.sandbox import ALICE, BOB, Sandbox
from pdp.core.errors import ConfigurationFault
from pdp.v1 import types_pb2

ALLOW, DENY, PENDING = types_pb2.EFFECT_ALLOW, types_pb2.EFFECT_DENY, types_pb2.EFFECT_PENDING
CALLERS: Mapping[str, Any] = {"gateway": {"dedupes_redemptions": True, "may_assert": {"task": True}}}
PLAN = plan(
    budget("looks.session", "cost", 100, "session"),
    budget("looks.task", "cost", 100, "task"),
    identity={"callers": CALLERS},
)


def a_key(folder: Path, name: str) -> str:
    path = folder / name
    path.write_bytes(os.urandom(32).hex().encode())
    path.chmod(0o600)
    return f"file:{path}"


def configure(made: Sandbox, key: str, *before: str, **approvals: Any) -> None:
    """The index key of the next start, and those before it."""
    settings = yaml.safe_load(made.config.read_text())
    settings["service"] |= {"index_key": key, "index_key_before": list(before)}
    settings["approvals"] |= approvals
    made.config.write_text(yaml.safe_dump(settings))


def look(world: World, who: Any = ALICE, task: str = "tidy up", session: str = "s") -> Any:
    asked = call(world, who=who, name="look", session=session)
    asked.session.task, asked.request_id = task, uuid4().hex  # a world counts its ids from its start
    return asked


def redeem(world: World, request_id: str, token: str = "") -> Any:
    asked = call(world, 350, arguments={"to": "carol"})
    asked.request_id, asked.call_id, asked.resume_token = request_id, "call-1", token
    return asked


async def inspected(world: World, decision: str, session: str = "s") -> Any:
    """The answer about the one result of a decision."""
    asked = {"request_id": "inspected", "session": types_pb2.Session(id=session)}
    messages = stream(world, decision, text("fine"), credential=world.credential(ALICE, "bank"), **asked)
    return await inspect(world, messages)


async def test_what_counted_before_counts_after_it(tmp_path: Path) -> None:
    """Repeats, sessions with their owner and task, budgets, redemptions, results: over one key and over two."""
    results = set()
    keys = [a_key(tmp_path, f"key{n}") for n in range(3)]
    made, same = create(tmp_path / "w", PLAN, WEDNESDAY_NS), stage()
    configure(made, keys[0], resume_keys=[a_key(tmp_path, "resume")])
    async with serving(made, PLAN, same) as world:
        asked = look(world)
        first = await answered(world, asked)
        assert first.effect == ALLOW
        pending = await answered(world, redeem(world, "r1"))
        assert pending.effect == PENDING
        token = pending.pending.resume_token
        await Approvers(world).vote(ALICE, *waiting(pending))
        redeemed = await answered(world, redeem(world, "r2", token))
        assert (redeemed.effect, bool(redeemed.redemption_id)) == (ALLOW, True)
    for count, (now, *before) in enumerate(([keys[1], keys[0]], [keys[2], keys[1], keys[0]]), 1):
        configure(made, now, *before)
        async with serving(made, PLAN, same) as world:
            assert (await answered(world, asked)).decision_id == first.decision_id
            assert (await inspected(world, first.decision_id, "another")).status == "NOT_FOUND"
            results.add((await inspected(world, first.decision_id)).decision_id)
            again = await answered(world, redeem(world, f"r3 {count}", token))
            assert (again.effect, again.redemption_id) == (ALLOW, redeemed.redemption_id)
            for other, code in (({"who": BOB}, "session.identity_mismatch"), ({"task": "b"}, "session.task_changed")):
                denied = await answered(world, look(world, **other))
                assert (denied.effect, code in codes(denied)) == (DENY, True), codes(denied)
            more = await answered(world, look(world))
            assert more.effect == ALLOW
            for name in ("looks.session", "looks.task"):
                assert sum(figures(world, more, name)[:2]) == 4 * count, name
    assert len(results) == 1


async def test_a_start_with_other_keys_is_refused(tmp_path: Path) -> None:
    first, second, stranger = (a_key(tmp_path, name) for name in ("first", "second", "stranger"))
    made, same = create(tmp_path / "w", PLAN, WEDNESDAY_NS), stage()
    for now, *before in ([first], [second, first]):
        configure(made, now, *before)
        async with serving(made, PLAN, same):
            pass
    for now, *before in ([first], [second], [second, stranger], [first, second], [stranger, first], [second, second]):
        configure(made, now, *before)
        with pytest.raises(ConfigurationFault) as refused:
            async with serving(made, PLAN, same):
                pass
        assert refused.value.code == ("config.secret" if now in before else "store.key")
    configure(made, stranger, second, first)
    async with serving(made, PLAN, same):
        pass
