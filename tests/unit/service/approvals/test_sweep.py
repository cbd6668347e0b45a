"""The sweep: what time, switches and the directory decided is written down, once."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest
from support.approvals import element
from support.office import NS, STAFF, TENANT, Office

from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.rows import Approval
from pdp.core.approvals.states import GrantState, State
from pdp.core.errors import Unavailable
from pdp.core.stored import SwitchRow
from pdp.service.commit import Recorder

SCOPES = {
    "everything": ("", "", ""),
    "tenant": (TENANT, "", TENANT),
    "server": (TENANT, "git", ""),
    "tool": (TENANT, "git", "git_reset"),
    "agent": (TENANT, "", "assistant"),
    "subject": (TENANT, "", "sue"),
}


async def switch(office: Office, scope: str, *, engaged: bool = True, value: str = "") -> None:
    tenant, server, known = SCOPES[scope]
    row = SwitchRow(tenant, scope, server, value or known, engaged, "test", "ops", office.clock.at)
    await office.recorder.switch(row, office.clock.at)


async def swept(office: Office) -> int:
    return await office.people.sweep.run_once(office.clock.at)


async def test_what_is_over_expires_once(office: Office) -> None:
    asked = [await office.open(number=n) for n in range(1, 4)]
    await office.approve("bob", asked[0])
    office.clock.at = asked[0].expires_ns - 1
    assert await swept(office) == 0
    office.clock.at += 1
    assert await swept(office) == 3
    assert await swept(office) == 0
    assert {office.row(each).state for each in asked} == {State.EXPIRED}
    assert [r["event"] for r in office.records("approval")[-3:]] == ["expired"] * 3


@pytest.mark.parametrize("scope", list(SCOPES))
async def test_a_switch_cancels_what_waits_and_ends_grants(office: Office, scope: str) -> None:
    granting = await office.open(element(grant={"minutes": 30}), number=1)
    grant_id = (await office.approve("bob", granting, grant=GrantTerms(30))).grant_id
    asked = await office.open(number=2)
    assert await swept(office) == 0
    await switch(office, scope)
    assert await swept(office) == 3
    assert (office.row(asked).state, office.row(asked).resolution) == (State.CANCELLED, f"switch.{scope}")
    assert office.row(granting).state is State.CANCELLED
    grant = office.store.grant(TENANT, grant_id)
    assert (grant.state, grant.ended_by) == (GrantState.REVOKED, f"switch.{scope}")
    await switch(office, scope, engaged=False)
    assert await swept(office) == 0
    assert office.row(asked).state is State.CANCELLED  # released, it does not come back


async def test_a_switch_of_others_does_not(office: Office) -> None:
    asked = await office.open()
    await switch(office, "agent", value="another")
    assert await swept(office) == 0
    assert office.row(asked).state is State.PENDING


async def test_an_agent_within_the_chain_is_switched_off_too(office: Office) -> None:
    asked = await office.open()
    await switch(office, "agent", value="bot")
    assert await swept(office) == 1
    assert office.row(asked).state is State.CANCELLED


async def test_the_subject_leaves(office: Office) -> None:
    asked = await office.open()
    assert await swept(office) == 0
    office.staff.set(*(replace(m, active=m.id != "h-sue") for m in STAFF))
    assert await swept(office) == 1
    assert (office.row(asked).state, office.row(asked).resolution) == (State.CANCELLED, "person.inactive")


async def test_a_request_that_comes_after_is_found_within_a_minute(office: Office) -> None:
    await switch(office, "server")
    await swept(office)
    asked = await office.open()
    assert await swept(office) == 0
    office.clock.at += 60 * NS
    assert await swept(office) == 1
    assert office.row(asked).state is State.CANCELLED


async def test_grants_end_with_their_time_and_their_approvers(office: Office) -> None:
    one = await office.open(element(grant={"minutes": 1}), number=1)
    short = (await office.approve("bob", one, grant=GrantTerms(1))).grant_id
    two = await office.open(element(grant={"minutes": 30}), number=2)
    longer = (await office.approve("ann", two, grant=GrantTerms(30))).grant_id
    await swept(office)
    office.clock.at += 60 * NS
    assert await swept(office) == 1
    assert office.store.grant(TENANT, short).state is GrantState.EXPIRED
    office.staff.set(*(replace(m, active=m.id != "h-ann") for m in STAFF))
    assert await swept(office) == 1
    assert office.store.grant(TENANT, longer).state is GrantState.REVOKED


async def test_two_sweepers_move_each_once(office: Office) -> None:
    asked = [await office.open(number=n) for n in range(1, 6)]
    office.clock.at = asked[0].expires_ns
    both = await asyncio.gather(swept(office), swept(office))
    assert sum(both) == 5
    assert len([r for r in office.records("approval") if r["event"] == "expired"]) == 5


class Failing:
    """A recorder that cannot write what concerns some requests."""

    def __init__(self, recorder: Recorder, *fails: Approval) -> None:
        self.recorder, self.fails = recorder, {each.id for each in fails}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.recorder, name)

    async def people(self, tenant: str, kind: str, made: Any, steps: Any, at_ns: int) -> Any:
        if getattr(steps[0], "approval_id", "") in self.fails:
            raise Unavailable("record.unavailable", "the record cannot be written; nothing was decided")
        return await self.recorder.people(tenant, kind, made, steps, at_ns)


@pytest.mark.filterwarnings("error")
async def test_a_move_that_fails_keeps_no_other_waiting_and_none_is_left_unawaited(office: Office) -> None:
    asked = [await office.open(number=n) for n in range(1, 81)]  # more than are moved at once
    office.clock.at = asked[0].expires_ns
    sweep = office.people.sweep
    for fails, moved in ((asked, 0), (asked[:1], 79), ((), 1)):
        failing: Any = Failing(office.recorder, *fails)
        stuck = replace(sweep, recorder=failing)
        if fails:
            with pytest.raises(Unavailable):
                await stuck.run_once(office.clock.at)
        else:
            assert await stuck.run_once(office.clock.at) == moved
        gc.collect()  # what was never awaited would say so now
        assert len(office.records("approval")) == 80 + sum(office.row(each).state is State.EXPIRED for each in asked)
    assert {office.row(each).state for each in asked} == {State.EXPIRED}


async def test_what_could_not_be_ended_is_looked_at_again(office: Office) -> None:
    asked = await office.open()
    await switch(office, "tool")
    sweep, failing = office.people.sweep, Failing(office.recorder, asked)
    sweep.recorder, good = failing, sweep.recorder  # type: ignore[assignment] # it writes the rest
    with pytest.raises(Unavailable):
        await swept(office)
    sweep.recorder = good
    assert await swept(office) == 1
    assert office.row(asked).state is State.CANCELLED
