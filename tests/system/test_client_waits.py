"""A gateway's whole way with the client: pending, waiting, approved, carried out once, reported."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.approvers import Approvers
from support.environment import Stage, StillClock
from support.tools import resource
from support.world import WEDNESDAY_NS, World, running

from devtools.sandbox import ALICE, CAROL
from devtools.sandbox import definition_bytes as written
from pdp.client import AsyncClient, Client, ToolCall

OBLIGES = ("log", "notify", "redact_result")


class Gateway:
    """Either client, to be awaited."""

    def __init__(self, kind: str, world: World) -> None:
        token = world.metadata("gateway")[0][1].removeprefix("Bearer ")
        made = AsyncClient if kind == "async" else Client
        self.client: Any = made(world.sandbox.socket, token=token, obligations=OBLIGES, timeout=20)

    async def __call__(self, method: str, *given: Any, **more: Any) -> Any:
        ask = getattr(self.client, method)
        if isinstance(self.client, AsyncClient):
            return await ask(*given, **more)
        return await asyncio.to_thread(ask, *given, **more)

    async def close(self) -> None:
        if isinstance(self.client, AsyncClient):
            await self.client.close()
        else:
            self.client.close()


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_call_waits_is_approved_and_reported(tmp_path: Path, kind: str) -> None:
    async with running(tmp_path, stage=Stage(StillClock(WEDNESDAY_NS), approvals=True)) as world:
        ask = Gateway(kind, world)
        users = world.sandbox.token(ALICE, world.now_ns, aud=resource("git"))
        call = {"call_id": "call-1", "definition": written(world.definition("git", "git_reset"))}
        first = await ask("decide", ToolCall("git", "git_reset", {"repo_path": "/src"}, **call), users)
        assert (first.effect, first.pending is not None) == ("pending", True)
        token = first.pending.resume_token
        still = await ask("wait", token, users, 0)
        assert (still.again, still.code) == (False, "")
        assert [each.approval_id for each in still.requirements] == [
            each.approval_id for each in first.pending.requirements
        ]
        waiting = asyncio.create_task(ask("wait", token, users, 20))
        await Approvers(world).vote(CAROL, still.requirements[0].approval_id)
        assert (await waiting).again
        again = ToolCall("git", "git_reset", {"repo_path": "/src"}, **call, resume_token=token)
        allowed = await ask("decide", again, users)
        assert (allowed.effect, bool(allowed.redemption_id)) == ("allow", True), allowed.reasons
        noted = await ask("report_outcome", allowed.decision_id, "done", redemption_id=allowed.redemption_id)
        assert (noted.noted, noted.record is not None) == (True, True)
        repeated = await ask("report_outcome", allowed.decision_id, "done", redemption_id=allowed.redemption_id)
        assert repeated.record == noted.record
        other = await ask("report_outcome", allowed.decision_id, "failed")
        assert (other.noted, other.code, other.server_code) == (False, "client.too_late", "outcome.noted")
        foreign = await ask("wait", "r1.forged", users, 0)
        assert (foreign.again, foreign.gone) == (False, True), foreign.reasons
        await ask.close()
