"""People of a world who act: see what waits, vote, agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from support.world import DecideAnswer, World, answered

from devtools.sandbox import ALICE, CAROL, SandboxPerson
from pdp.core.approvals.directory import Person as Actor
from pdp.core.approvals.view import ApprovalView
from pdp.core.call.request import Bearer, Role
from pdp.people.votes import BallotInput, Voted
from pdp.v1 import decision_pb2, types_pb2


@dataclass(frozen=True, slots=True)
class Approvers:
    """Acts in a world, in process, as the command line would."""

    world: World

    @property
    def services(self) -> Any:
        return self.world.process.approvals.services

    async def person(self, who: SandboxPerson, **claims: Any) -> Actor:
        """A person, by a fresh token of its own."""
        token = self.world.sandbox.own_token(who, self.world.now_ns, **claims)
        async with self.world._admitted("desk", "Vote", Role.APPROVE) as caller:
            found: Actor = await self.services.persons.identify(caller, Bearer(token), "cli")
            return found

    async def look(self, who: SandboxPerson, approval_id: str) -> ApprovalView:
        """What the person sees of one request."""
        found: ApprovalView = await self.services.queue.get(await self.person(who), approval_id)
        return found

    async def vote(self, who: SandboxPerson, approval_id: str, choice: str = "approve", **more: Any) -> Voted:
        """Look, and vote for what was shown."""
        seen = await self.look(who, approval_id)
        ballot = BallotInput(
            self.world.fresh(f"vote {self.world.now_ns}"),
            choice,
            "because",
            more.pop("presented", seen.presented),
            **more,
        )
        found: Voted = await self.services.votes.vote(await self.person(who), approval_id, ballot)
        return found


def waiting(answer: Any) -> list[str]:
    """Ids of the requests that a pending answer waits for."""
    assert isinstance(answer, decision_pb2.DecideResponse)
    return [wanted.approval_id for wanted in answer.pending.requirements]


def reset(world: World, note: str, *, token: str = "", call_id: str = "", session: str = "") -> Any:
    """A question about a destructive call, told from others by its argument."""
    asked = world.ask(ALICE, "git_reset", {"repo_path": f"/{note}"}, session=session)
    asked.resume_token, asked.call_id = token, call_id
    return asked


async def approved(world: World, approvers: Approvers, note: str) -> DecideAnswer:
    """A pending answer whose request Carol has approved since."""
    answer = await answered(world, reset(world, note))
    assert answer.effect == types_pb2.EFFECT_PENDING
    await approvers.vote(CAROL, *waiting(answer))
    return answer
