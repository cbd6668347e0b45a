"""Consents: the subject's alone, given to what was shown, gone at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.approvals import CONSENT, SECOND, element, person
from support.office import NS, TENANT, Office

from pdp.core.approvals.directory import Person
from pdp.core.approvals.queries import Page
from pdp.core.approvals.rows import Consent
from pdp.core.approvals.states import State
from pdp.core.errors import InvalidRequest, NotFound, Outdated
from pdp.service.approvals import consents
from pdp.service.approvals.consents import Agreement, ConsentTerms, ConsentView

SUE = person("sue")
TERMS = ConsentTerms("assistant", "git", "repo:read", "reviews")
DAY_NS = 24 * 3600 * NS


async def listed(office: Office, who: Person = SUE, *states: str) -> list[ConsentView]:
    found, after = await office.people.consents.list(who, Page(), states=frozenset(states))
    assert after == ""
    return list(found)


async def test_an_open_request_is_answered_and_settled_in_one_commit(office: Office) -> None:
    asked = await office.open(CONSENT)
    (request,) = await listed(office)
    assert (request.id, request.state, request.agent, request.purpose) == (
        asked.id,
        "requested",
        "assistant",
        "tidy up",
    )
    view, ref = await office.people.consents.grant(SUE, Agreement("r-1", asked.id, request.presented))
    assert (view.state, view.scope, view.expires_ns) == ("active", "repo:write", office.clock.at + 180 * DAY_NS)
    row = office.store.consent(TENANT, view.id)
    assert (row.approval_id, row.subject, row.agent) == (asked.id, asked.call.subject, "assistant")
    assert office.row(asked).state is State.APPROVED
    assert [r["kind"] for r in office.records()[-2:]] == ["consent", "approval"]
    assert (await office.people.consents.grant(SUE, Agreement("r-1", asked.id, request.presented)))[1] == ref
    with pytest.raises(Outdated):
        await office.people.consents.grant(SUE, Agreement("r-2", asked.id, request.presented))


async def test_what_was_not_shown_is_not_agreed_to(office: Office) -> None:
    asked = await office.open(CONSENT)
    for presented in ("", "0" * 64):
        with pytest.raises(Outdated):
            await office.people.consents.grant(SUE, Agreement("r", asked.id, presented))
    assert office.row(asked).state is State.PENDING
    assert await listed(office, SUE, "active") == []


async def test_nobody_else_sees_or_gives_it(office: Office) -> None:
    asked = await office.open(CONSENT)
    presented = (await listed(office))[0].presented
    view, _ = await office.people.consents.grant(SUE, Agreement("r", TERMS))
    operator = person("oz", roles=frozenset({"operate"}))
    for who in (person("bob"), operator, replace(SUE, tenant="other")):
        assert await listed(office, who) == []
        for act in (
            office.people.consents.grant(who, Agreement("r", asked.id, presented)),
            office.people.consents.revoke(who, asked.id),
            office.people.consents.revoke(who, view.id),
            office.people.consents.revoke(who, "nothing"),
        ):
            with pytest.raises(NotFound, match=r"There is no such consent\."):
                await act
    assert len(await listed(office, person("sue", account=SECOND))) == 2  # the same human


async def test_an_approval_is_no_consent(office: Office) -> None:
    asked = await office.open(element())
    with pytest.raises(NotFound):
        await office.people.consents.revoke(SUE, asked.id)
    await office.approve("bob", asked)
    assert await listed(office) == []


async def test_refusing_denies_the_call(office: Office) -> None:
    asked = await office.open(CONSENT)
    view, ref = await office.people.consents.refuse(SUE, asked.id, "r-1")
    assert (view.state, office.row(asked).state) == ("refused", State.DENIED)
    assert (await office.people.consents.refuse(SUE, asked.id, "r-1"))[1] == ref
    with pytest.raises(Outdated) as caught:
        await office.people.consents.revoke(SUE, asked.id, "r-2")
    assert caught.value.code == "consent.ended"
    assert [each.state for each in await listed(office, SUE, "refused")] == ["refused"]


async def test_taking_back_ends_the_call_that_waits_for_it_too(office: Office) -> None:
    asked = await office.open(CONSENT)
    (request,) = await listed(office)
    view, _ = await office.people.consents.grant(SUE, Agreement("r", asked.id, request.presented))
    ended, _ = await office.people.consents.revoke(SUE, view.id)
    assert (ended.state, office.row(asked).state) == ("revoked", State.REVOKED)
    assert await listed(office) == []
    assert [each.id for each in await listed(office, SUE, "revoked")] == [view.id]
    with pytest.raises(NotFound):  # a consent is not refused, but revoked
        await office.people.consents.refuse(SUE, view.id)
    with pytest.raises(Outdated):
        await office.people.consents.revoke(SUE, view.id)


async def test_of_ones_own_accord_and_again(office: Office) -> None:
    first, _ = await office.people.consents.grant(SUE, Agreement("r-1", TERMS))
    second, _ = await office.people.consents.grant(SUE, Agreement("r-2", TERMS, expires_ns=office.clock.at + NS))
    assert [(each.id, each.expires_ns) for each in await listed(office)] == [(second.id, office.clock.at + NS)]
    assert office.store.consent(TENANT, first.id).ended_ns == office.clock.at
    rows = office.store.consents_for(TENANT, SUE.account, "assistant")
    assert [type(row) for row in rows] == [Consent]


async def test_the_same_twice_at_once_is_one_consent(office: Office) -> None:
    both = await asyncio.gather(*(office.people.consents.grant(SUE, Agreement("r-1", TERMS)) for _ in range(2)))
    assert both[0] == both[1]
    assert len(office.store.consents_for(TENANT, SUE.account, "assistant")) == 1


async def test_an_agent_has_only_so_many(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consents, "MAX_PER_AGENT", 1)
    await office.people.consents.grant(SUE, Agreement("r-1", TERMS))
    with pytest.raises(InvalidRequest, match="revoke some"):
        await office.people.consents.grant(SUE, Agreement("r-2", replace(TERMS, scope="other")))
    await office.people.consents.grant(SUE, Agreement("r-3", TERMS))  # in the place of the first
    await office.people.consents.grant(SUE, Agreement("r-4", replace(TERMS, agent="another")))


async def test_terms_are_whole_and_end_in_time(office: Office) -> None:
    for name in ("agent", "server", "scope", "purpose"):
        with pytest.raises(InvalidRequest, match=f"terms.{name}"):
            await office.people.consents.grant(SUE, Agreement("r", replace(TERMS, **{name: ""})))
    now = office.clock.at
    for until in (now, now - NS, now + 181 * DAY_NS):
        with pytest.raises(InvalidRequest, match="expires_at"):
            await office.people.consents.grant(SUE, Agreement("r", TERMS, expires_ns=until))
    assert office.records("consent") == []


async def test_time_ends_what_nobody_ended(office: Office) -> None:
    asked = await office.open(CONSENT)
    await office.people.consents.grant(SUE, Agreement("r", TERMS, expires_ns=office.clock.at + NS))
    office.clock.at = asked.expires_ns
    assert await listed(office) == []
    assert [each.state for each in await listed(office, SUE, "expired")] == ["expired", "expired"]
    with pytest.raises(Outdated):
        await office.people.consents.revoke(SUE, asked.id)


async def test_open_requests_come_first_then_the_newest_in_pages(office: Office) -> None:
    ids = []
    for number, agent in enumerate(("a", "b", "c")):
        office.clock.at += NS
        view, _ = await office.people.consents.grant(SUE, Agreement(f"r-{number}", replace(TERMS, agent=agent)))
        ids.append(view.id)
    asked = await office.open(CONSENT)
    wanted = [asked.id, *reversed(ids)]
    assert [each.id for each in await listed(office)] == wanted
    found, after = await office.people.consents.list(SUE, Page(3))
    rest, end = await office.people.consents.list(SUE, Page(3, after))
    assert ([each.id for each in (*found, *rest)], end) == (wanted, "")
    (one,), _ = await office.people.consents.list(SUE, Page(), consent_id=ids[0])
    assert one.id == ids[0]
    # where a page ended may be gone when the next is asked for
    _, after = await office.people.consents.list(SUE, Page(2))
    assert after == ids[2]
    await office.people.consents.revoke(SUE, ids[2])
    rest, _ = await office.people.consents.list(SUE, Page(3, after))
    assert [each.id for each in rest] == [ids[1], ids[0]]
