"""Every golden decision is reproduced by its replay."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from support.cases import Case, load_cases
from support.environment import Stage, StillClock
from support.golden import INSTANTS, plan
from support.world import PROCESS, Refused, World, running
from test_golden import JudgedFacts, run

from pdp.core.call.request import Caller, Role
from pdp.decide.explain import ExplainRequest

pytestmark = pytest.mark.asyncio(loop_scope="module")
CASES = [case for case in load_cases() if not case.is_list]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worlds(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[dict[str, World]]:
    async with AsyncExitStack() as stack:
        found = {}
        for name, at_ns in INSTANTS.items():
            folder = tmp_path_factory.mktemp(name[:3])
            world = await stack.enter_async_context(running(folder, plan(folder), Stage(StillClock(at_ns))))
            world.process.services.decide.facts.__class__ = JudgedFacts
            world.process.services.explain.per_minute = 10_000
            found[name] = world
        yield found


async def nowhere(_kept: Any, _artefact: bytes, _document: bytes, named: tuple[Any, ...]) -> tuple[Any, ...]:
    """Where rules stand has tests of its own, and costs a process each."""
    return (("", 0),) * len(named)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_a_golden_decision_is_reproduced(
    case: Case, worlds: dict[str, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, world = await run(case, worlds, PROCESS, {}), worlds[case.world]
    if isinstance(made.answer, Refused):
        return  # nothing was decided
    record = json.loads(made.record)
    monkeypatch.setattr(type(world.process.services.explain.kept), "places", nowhere)
    explainer = Caller("explainer", record["tenant"], frozenset({Role.EXPLAIN}), frozenset({"*"}))
    found, _ = await world.process.services.explain(ExplainRequest(record["id"]), explainer)
    # such evidence was not weighed, so the document is without it and the replay does not deny for it
    malformed = any(r["code"] == "evidence.malformed" for r in record["reasons"])
    assert found.reproduced is not malformed, [found.outcome, record["effect"], record["reasons"]]
    said = {(r.code, r.message) for r in found.outcome.reasons if r.rule == "pdp.gate"}
    assert said == {(r["code"], r["message"]) for r in record["reasons"] if r["rule"] == "pdp.gate"}
