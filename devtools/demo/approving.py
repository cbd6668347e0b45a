"""The demo's second act: what was pending is approved by others, carried out once, and then never again."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

from mcp.client.client import Client

from devtools.demo.scenes import ACT, Scene, SceneRow, row_of
from devtools.demo.stage import DemoStage, people_command
from devtools.sandbox import ALICE, CAROL, ERIN, SandboxPerson, definition_bytes
from pdp.client import AsyncClient, Decision, Session, ToolCall

RESET = "git_reset"
ROUNDS = 3  # stages of approval that the demo's policy may want one after the other
# who may fill a seat of which group
APPROVERS = {"approvers": CAROL, "on-call": ERIN}


async def approve(stage: DemoStage, pdp: AsyncClient, server: Client) -> AsyncIterator[SceneRow]:
    """Approve by the command line, come back, come back again, come back with something else."""
    repository = str(stage.repository)
    decision = await _ask(stage, pdp, repository, "")
    voters: list[SandboxPerson] = []
    token = ""
    while decision.pending is not None and len(voters) < ROUNDS:
        token = decision.pending.resume_token
        voters += [await _vote(stage, requirement.approval_id) for requirement in decision.pending.requirements]
        decision = await _ask(stage, pdp, repository, token)
    who = ", ".join(voter.id for voter in voters)
    command = "pdp approvals approve"
    yield SceneRow("somebody else reads and approves it", who, command, ACT, "", "", "-", "-", bool(voters))
    ran = "-"
    if decision.allowed:  # here, too, only what is allowed is carried out
        result = await server.call_tool(RESET, {"repo_path": repository})
        ran = "failed" if result.is_error else "yes"
    yield row_of(Scene("the agent comes back for it", ALICE, RESET, "allow", "acme.role"), decision, ran=ran)
    again = await _ask(stage, pdp, repository, token)
    yield row_of(Scene("and once more", ALICE, RESET, "deny", "already_redeemed"), again)
    other = await _ask(stage, pdp, f"{repository}/.", token)
    yield row_of(Scene("and for another folder", ALICE, RESET, "deny", "resume.mismatch"), other)


async def _ask(stage: DemoStage, pdp: AsyncClient, repository: str, token: str) -> Decision:
    call = ToolCall(
        server="git",
        tool=RESET,
        arguments={"repo_path": repository},
        definition=definition_bytes(stage.tools[RESET]),
        resume_token=token,
    )
    bearer = stage.world.token(ALICE, time.time_ns())
    return await pdp.decide(call, bearer, session=Session(id=f"demo-{ALICE.id}", task="Tidy up the repository"))


async def _vote(stage: DemoStage, approval_id: str) -> SandboxPerson:
    """An eligible approver looks at the request, and votes for exactly what was shown."""
    for person in APPROVERS.values():
        shown = await run(people_command(stage, person.id, "approvals", "show", approval_id, "--json"))
        if shown is not None and shown["may_vote"]:
            presented = ("--yes", "--presented", shown["presented"], "--reason", "agreed with Alice")
            await run(people_command(stage, person.id, "approvals", "approve", approval_id, *presented))
            return person
    raise RuntimeError("nobody in the demo may approve this")


async def run(command: list[str]) -> dict[str, Any] | None:
    """What a command says as JSON, if it does; None where it fails."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    told, _ = await process.communicate()
    if process.returncode != 0:
        return None
    found: dict[str, Any] = json.loads(told) if told.lstrip().startswith(b"{") else {}
    return found
