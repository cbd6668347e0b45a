"""Consents: the subject's alone, given to what was shown, gone at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from support.approval_harness import NS, TENANT, ApprovalHarness
from support.approvals import ARGUMENTS, CONSENT, SECOND, asked, constant, element, person

from pdp.core.approvals.directory import Person
from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.queries import Page
from pdp.core.errors import InvalidRequest, NotFound, Outdated
from pdp.core.rows.approvals import Consent
from pdp.core.rows.states import State
from pdp.people import consents
from pdp.people.consents import Agreement, ConsentTerms, ConsentView
from pdp.people.evidence import ApprovalEvidence

SUE = person("sue")
TERMS = ConsentTerms("assistant", "git", "repo:read", "reviews")
DAY_NS = 24 * 3600 * NS


async def listed(harness: ApprovalHarness, who: Person = SUE, *states: str) -> list[ConsentView]:
    found, after = await harness.services.consents.list(who, Page(), states=frozenset(states))
    assert after == ""
    return list(found)


async def test_an_open_request_is_answered_and_settled_in_one_commit(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    (request,) = await listed(harness)
    assert (request.id, request.state, request.agent, request.purpose) == (
        asked.id,
        "requested",
        "assistant",
        "tidy up",
    )
    view, ref = await harness.services.consents.grant(SUE, Agreement("r-1", asked.id, request.presented))
    assert (view.state, view.scope, view.expires_ns) == ("active", "repo:write", harness.clock.at + 180 * DAY_NS)
    row = harness.store.consent(TENANT, view.id)
    assert (row.approval_id, row.subject, row.agent) == (asked.id, asked.call.subject, "assistant")
    assert harness.row(asked).state is State.APPROVED
    assert [r["kind"] for r in harness.records()[-2:]] == ["consent", "approval"]
    assert (await harness.services.consents.grant(SUE, Agreement("r-1", asked.id, request.presented)))[1] == ref
    with pytest.raises(Outdated):
        await harness.services.consents.grant(SUE, Agreement("r-2", asked.id, request.presented))


async def test_what_was_not_shown_is_not_agreed_to(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    for presented in ("", "0" * 64):
        with pytest.raises(Outdated):
            await harness.services.consents.grant(SUE, Agreement("r", asked.id, presented))
    assert harness.row(asked).state is State.PENDING
    assert await listed(harness, SUE, "active") == []


async def test_nobody_else_sees_or_gives_it(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    presented = (await listed(harness))[0].presented
    view, _ = await harness.services.consents.grant(SUE, Agreement("r", TERMS))
    operator = person("oz", roles=frozenset({"operate"}))
    for who in (person("bob"), operator, replace(SUE, tenant="other")):
        assert await listed(harness, who) == []
        for act in (
            harness.services.consents.grant(who, Agreement("r", asked.id, presented)),
            harness.services.consents.revoke(who, asked.id),
            harness.services.consents.revoke(who, view.id),
            harness.services.consents.revoke(who, "nothing"),
        ):
            with pytest.raises(NotFound, match=r"There is no such consent\."):
                await act
    assert len(await listed(harness, person("sue", account=SECOND))) == 2  # the same human


async def test_an_approval_is_no_consent(harness: ApprovalHarness) -> None:
    asked = await harness.open(element())
    with pytest.raises(NotFound):
        await harness.services.consents.revoke(SUE, asked.id)
    await harness.approve("bob", asked)
    assert await listed(harness) == []


async def test_refusing_denies_the_call(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    view, ref = await harness.services.consents.refuse(SUE, asked.id, "r-1")
    assert (view.state, harness.row(asked).state) == ("refused", State.DENIED)
    assert (await harness.services.consents.refuse(SUE, asked.id, "r-1"))[1] == ref
    with pytest.raises(Outdated) as caught:
        await harness.services.consents.revoke(SUE, asked.id, "r-2")
    assert caught.value.code == "consent.ended"
    assert [each.state for each in await listed(harness, SUE, "refused")] == ["refused"]


async def test_taking_back_ends_the_call_that_waits_for_it_too(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    (request,) = await listed(harness)
    view, _ = await harness.services.consents.grant(SUE, Agreement("r", asked.id, request.presented))
    ended, _ = await harness.services.consents.revoke(SUE, view.id)
    assert (ended.state, harness.row(asked).state) == ("revoked", State.REVOKED)
    assert await listed(harness) == []
    assert [each.id for each in await listed(harness, SUE, "revoked")] == [view.id]
    with pytest.raises(NotFound):  # a consent is not refused, but revoked
        await harness.services.consents.refuse(SUE, view.id)
    with pytest.raises(Outdated):
        await harness.services.consents.revoke(SUE, view.id)


async def test_of_ones_own_accord_and_again(harness: ApprovalHarness) -> None:
    first, _ = await harness.services.consents.grant(SUE, Agreement("r-1", TERMS))
    second, _ = await harness.services.consents.grant(SUE, Agreement("r-2", TERMS, expires_ns=harness.clock.at + NS))
    assert [(each.id, each.expires_ns) for each in await listed(harness)] == [(second.id, harness.clock.at + NS)]
    assert harness.store.consent(TENANT, first.id).ended_ns == harness.clock.at
    rows = harness.store.consents_for(TENANT, SUE.account, "assistant")
    assert [type(row) for row in rows] == [Consent]


async def test_the_same_twice_at_once_is_one_consent(harness: ApprovalHarness) -> None:
    both = await asyncio.gather(*(harness.services.consents.grant(SUE, Agreement("r-1", TERMS)) for _ in range(2)))
    assert both[0] == both[1]
    assert len(harness.store.consents_for(TENANT, SUE.account, "assistant")) == 1


async def test_an_agent_has_only_so_many(harness: ApprovalHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consents, "MAX_PER_AGENT", 1)
    await harness.services.consents.grant(SUE, Agreement("r-1", TERMS))
    with pytest.raises(InvalidRequest, match="revoke some"):
        await harness.services.consents.grant(SUE, Agreement("r-2", replace(TERMS, scope="other")))
    await harness.services.consents.grant(SUE, Agreement("r-3", TERMS))  # in the place of the first
    await harness.services.consents.grant(SUE, Agreement("r-4", replace(TERMS, agent="another")))


async def test_terms_are_whole_and_end_in_time(harness: ApprovalHarness) -> None:
    for name in ("agent", "server", "scope", "purpose"):
        with pytest.raises(InvalidRequest, match=f"terms.{name}"):
            await harness.services.consents.grant(SUE, Agreement("r", replace(TERMS, **{name: ""})))
    now = harness.clock.at
    for until in (now, now - NS, now + 181 * DAY_NS):
        with pytest.raises(InvalidRequest, match="expires_at"):
            await harness.services.consents.grant(SUE, Agreement("r", TERMS, expires_ns=until))
    assert harness.records("consent") == []


async def test_time_ends_what_nobody_ended(harness: ApprovalHarness) -> None:
    asked = await harness.open(CONSENT)
    await harness.services.consents.grant(SUE, Agreement("r", TERMS, expires_ns=harness.clock.at + NS))
    harness.clock.at = asked.expires_ns
    assert await listed(harness) == []
    assert [each.state for each in await listed(harness, SUE, "expired")] == ["expired", "expired"]
    with pytest.raises(Outdated):
        await harness.services.consents.revoke(SUE, asked.id)


async def test_open_requests_come_first_then_the_newest_in_pages(harness: ApprovalHarness) -> None:
    ids = []
    for number, agent in enumerate(("a", "b", "c")):
        harness.clock.at += NS
        view, _ = await harness.services.consents.grant(SUE, Agreement(f"r-{number}", replace(TERMS, agent=agent)))
        ids.append(view.id)
    earlier = await harness.open(CONSENT)
    harness.clock.at += NS
    asked = await harness.open(CONSENT, number=2)
    wanted = [asked.id, earlier.id, *reversed(ids)]
    assert [each.id for each in await listed(harness)] == wanted
    found, after = await harness.services.consents.list(SUE, Page(4))
    rest, end = await harness.services.consents.list(SUE, Page(4, after))
    assert ([each.id for each in (*found, *rest)], end) == (wanted, "")
    (one,), _ = await harness.services.consents.list(SUE, Page(), consent_id=ids[0])
    assert one.id == ids[0]
    # where a page ended may be gone when the next is asked for
    _, after = await harness.services.consents.list(SUE, Page(3))
    assert after == ids[2]
    await harness.services.consents.revoke(SUE, ids[2])
    rest, _ = await harness.services.consents.list(SUE, Page(3, after))
    assert [each.id for each in rest] == [ids[1], ids[0]]


FOR_A_TASK = {**CONSENT, "binds": "task"}


@pytest.mark.parametrize(("agreed", "wanted"), [(CONSENT, FOR_A_TASK), (FOR_A_TASK, CONSENT)])
async def test_a_consent_for_a_task_is_none_for_the_tool_and_the_other_way_round(
    harness: ApprovalHarness, agreed: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Though scope and purpose are the same, and the call is."""
    opened = await harness.open(agreed)
    await harness.services.consents.grant(SUE, Agreement("r", opened.id, (await listed(harness))[0].presented))
    source = ApprovalEvidence(harness.counting(), constant)

    async def covers(element: dict[str, Any]) -> bool:
        return bool(await source.gather(asked(opened.call, {**ARGUMENTS, "n": 1}), (element,), harness.clock.at))

    assert await covers(agreed)
    assert not await covers(wanted)


async def test_a_grant_for_a_session_binds_more_than_the_tool(harness: ApprovalHarness) -> None:
    """Whatever schema its approver gave."""
    offered = element(grant={"session": True})
    opened = await harness.open(offered)
    anything = GrantTerms(session=True, arguments_schema=b'{"properties":{}}')
    assert (await harness.approve("bob", opened, grant=anything)).grant_id
    source = ApprovalEvidence(harness.counting(), constant)

    async def covered(**arguments: Any) -> bool:
        call = asked(opened.call, {**ARGUMENTS, "n": 1, **arguments})
        return bool(await source.gather(call, (offered,), harness.clock.at))

    assert await covered()
    assert not await covered(n=2)
    assert not await covered(more="than was shown")
