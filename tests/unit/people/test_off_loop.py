"""No surface of approvals reads the store on the event loop, which would stand still while a database is slow.

Every test on the harness fails on such a read; this one shows that all surfaces and all their reads pass through it.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, aclosing
from dataclasses import replace
from typing import Any

import httpx
import pytest
from support.approval_harness import ApprovalHarness, OffLoopStore
from support.approvals import CONFIRMATION, CONSENT, ISSUER, TENANT, element, person
from support.console_client import BASE, KEY, OURS, URL, Forms
from support.environment import SeededEntropy

from pdp.core.approvals.grants import GrantTerms
from pdp.core.approvals.queries import Page
from pdp.core.check import NS
from pdp.core.ports import Entropy
from pdp.people.consents import Agreement, ConsentTerms
from pdp.people.console.app import application
from pdp.people.console.options import ConsoleOptions
from pdp.people.console.visit import ConsoleServices
from pdp.people.delegations import StandIn
from pdp.people.grants import GrantFilter
from pdp.people.visibility import ApprovalFilter
from pdp.people.votes import BallotInput

BOB, SUE, OPERATOR = person("bob"), person("sue"), person("oz", roles=frozenset({"operate"}))
TERMS = ConsentTerms("assistant", "git", "repo:write", "tidy up")
ACCOUNT = {"name": "bob", "label": "Bob", "tenant": TENANT, "issuer": ISSUER, "id": "bob"}


async def test_a_read_on_the_loop_is_refused(harness: ApprovalHarness) -> None:
    store: Any = OffLoopStore(harness.store)
    with pytest.raises(AssertionError, match="last_change"):
        store.last_change()
    assert await asyncio.to_thread(store.last_change) == 0
    assert (store.refused, store.reads) == (["last_change"], {"last_change"})


async def test_votes_grants_and_canaries_read_in_threads(harness: ApprovalHarness) -> None:
    request = await harness.open(element(grant={"minutes": 30, "uses": 5}))
    voted = await harness.approve("bob", request, "v-1", grant=GrantTerms(10, 2))
    shown = await harness.services.queue.get(BOB, request.id)
    ballot = BallotInput("v-1", "approve", presented=shown.presented, grant=GrantTerms(10, 2))
    assert (await harness.services.votes.vote(BOB, request.id, ballot)).grant_id == voted.grant_id  # the kept answer
    await harness.services.queue.list(BOB, ApprovalFilter(), Page())
    await harness.services.grants.list(BOB, GrantFilter(), Page())
    for _ in range(2):  # the second is the kept answer
        await harness.services.grants.revoke(BOB, voted.grant_id, "over", "g-1")
        await harness.services.canaries.open(OPERATOR, request.id, b"{}", "c-1")
    await harness.services.votes.vote(BOB, request.id, BallotInput("", "deny"))  # taken back, and its grant with it
    expected = {"approval", "votes", "shown", "queue", "grant", "grants", "reply", "record", "delegations"}
    assert harness.off_loop.reads >= expected


async def test_consents_and_delegations_read_in_threads(harness: ApprovalHarness) -> None:
    services = harness.services
    request = await harness.open(CONSENT, number=1)
    shown = await services.queue.get(SUE, request.id)
    for _ in range(2):  # the second is the kept answer
        view, _ = await services.consents.grant(SUE, Agreement("c-1", request.id, shown.presented))
    own, _ = await services.consents.grant(SUE, Agreement("c-2", replace(TERMS, agent="another")))
    other = await harness.open(CONSENT, number=2)
    await services.consents.refuse(SUE, other.id, "c-3")
    await services.consents.list(SUE, Page())
    for _ in range(2):
        await services.consents.revoke(SUE, view.id, "c-4")
    await services.consents.revoke(SUE, own.id)
    at = harness.clock.at
    deputy, _ = await services.delegations.add(BOB, StandIn("h-dan", at, at + 3600 * NS))
    assert await services.delegations.list(BOB) == (deputy,)
    await services.delegations.end(BOB, deputy.id)
    assert harness.off_loop.reads >= {"approval", "approvals", "consent", "consents", "consents_for", "delegations"}


async def test_streams_and_expiry_read_in_threads(harness: ApprovalHarness) -> None:
    async with aclosing(harness.services.watchers.watch(BOB, ApprovalFilter(), "0")) as news:
        first = asyncio.ensure_future(anext(news))
        request = await harness.open()
        assert (await first)[0].approval.id == request.id
    harness.clock.at = request.expires_ns
    assert await harness.services.sweep.run_once(harness.clock.at) == 1
    assert harness.off_loop.reads >= {"last_change", "changes", "delegations", "due", "approvals", "grants"}


async def test_every_page_of_the_console_reads_in_threads(harness: ApprovalHarness) -> None:
    request = await harness.open(element(grant={"minutes": 30, "uses": 5}), number=1)
    await harness.open(CONFIRMATION, number=2)
    entropy: Entropy = SeededEntropy("console")
    app = application(
        ConsoleOptions.model_validate({**BASE, "development_accounts": [ACCOUNT]}),
        ConsoleServices(harness.services, harness.clock, entropy),  # type: ignore[arg-type] # a test's clock
        key=KEY,
        providers={},
        stopping=asyncio.Event(),
    )
    async with AsyncExitStack() as open_until_the_end:
        client = await open_until_the_end.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url=URL)
        )
        await client.post("/signin/development", data={"account": "bob"}, headers=OURS)
        for path in ("/queue", "/history", "/grants", "/consents", "/me", f"/requests/{request.id}"):
            assert (await client.get(path)).status_code == 200
        page = Forms((await client.get(f"/requests/{request.id}")).text)
        action = next(each for each in page.of if each.startswith(f"/requests/{request.id}"))
        answer = await client.post(action, data={**page.of[action], "choice": "deny"}, headers=OURS)
        assert answer.status_code in {200, 303}
    assert harness.row(request).state.value == "denied"
    assert harness.off_loop.reads >= {
        "approvals",
        "votes_of",
        "shown_of",
        "grants",
        "consents",
        "delegations",
        "votes",
    }
