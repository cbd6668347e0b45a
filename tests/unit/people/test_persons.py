"""Who acts: a human, verified for this caller, and never an agent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.approval_harness import ALL_MEMBERS, APPROVAL_CLIENT, TENANT, ApprovalHarness, identity
from support.approvals import account, member

from pdp.core.call.facts import Actor, AgentFact, Identity
from pdp.core.call.request import Bearer
from pdp.core.check import failed, missing
from pdp.core.errors import Forbidden, Unauthenticated
from pdp.people.persons import SignedIn


async def acting(harness: ApprovalHarness, found: Identity, surface: str = "grpc") -> object:
    harness.subjects.identities["t"] = found
    return await harness.services.persons.identify(APPROVAL_CLIENT, Bearer("t"), surface)


async def test_a_verified_human(harness: ApprovalHarness) -> None:
    who = await acting(harness, identity("bob", authenticated_ns=7), "cli")
    assert (who.human, who.account, who.name, who.tenant) == ("h-bob", account("bob"), "Bob", TENANT)
    assert (who.assurance, who.surface, who.authenticated_ns) == ("signed_in", "cli", 7)
    assert harness.subjects.audiences == [("urn:desk",)]  # a token for a server is none for the desk


async def test_what_does_not_verify_says_why(harness: ApprovalHarness) -> None:
    found = identity("bob", check=failed("subject.expired", "the token has expired; get a new one"))
    with pytest.raises(Unauthenticated, match="The token has expired") as caught:
        await acting(harness, found)
    assert caught.value.code == "subject.expired"


@pytest.mark.parametrize(
    "found",
    [
        replace(identity("bob"), actors=(Actor("bot"),)),
        replace(identity("bob"), agent=AgentFact(failed("agent.chain_too_deep", "too deep"))),
        replace(identity("bob"), agent=AgentFact(failed("agent.mismatch", "differ"))),
        replace(identity("bob"), agent=replace(identity("bob").agent, kind="actor")),
    ],
    ids=["chain", "deep", "mismatch", "actor"],
)
async def test_an_agent_is_nobody(harness: ApprovalHarness, found: Identity) -> None:
    with pytest.raises(Forbidden) as caught:
        await acting(harness, found)
    assert caught.value.code == "person.agent"


NO_CLIENT = AgentFact(missing("agent.missing", "no client"))


@pytest.mark.parametrize(
    "agent", [replace(identity("bob").agent, id="coding-agent"), replace(identity("bob").agent, id="Desk"), NO_CLIENT]
)
async def test_a_persons_token_of_another_client_is_no_persons(harness: ApprovalHarness, agent: AgentFact) -> None:
    """An agent can have its user's token for the desk, if the issuer gives it one; but as a client of its own."""
    with pytest.raises(Forbidden) as caught:
        await acting(harness, replace(identity("bob"), agent=agent))
    assert caught.value.code == "person.client"
    assert "coding-agent" not in caught.value.message


async def test_a_desk_without_permitted_clients_lets_nobody_act(harness: ApprovalHarness) -> None:
    harness.subjects.identities["t"] = identity("bob")
    with pytest.raises(Forbidden) as caught:
        await harness.services.persons.identify(
            replace(APPROVAL_CLIENT, person_clients=frozenset()), Bearer("t"), "cli"
        )
    assert caught.value.code == "person.client"


async def test_a_desk_that_vouches_for_a_person_is_the_client(harness: ApprovalHarness) -> None:
    found = replace(identity("bob", source="vouched"), agent=NO_CLIENT)
    assert (await acting(harness, found)).human == "h-bob"
    other = replace(found, agent=replace(identity("bob").agent, id="coding-agent", source="vouched"))
    with pytest.raises(Forbidden):
        await acting(harness, other)


async def test_a_service_is_no_person(harness: ApprovalHarness) -> None:
    for name, kind in (("bob", "service"), ("stranger", "unknown")):
        with pytest.raises(Forbidden) as caught:
            await acting(harness, identity(name, kind=kind))
        assert caught.value.code == "person.not_human"
    assert (await acting(harness, identity("bob", kind="unknown"))).human == "h-bob"  # the directory knows him
    assert (await acting(harness, identity("stranger"))).human.startswith("account:")


async def test_who_is_disabled_is_kept_out_everywhere(harness: ApprovalHarness) -> None:
    with pytest.raises(Forbidden) as caught:
        await acting(harness, identity("eve"))
    assert caught.value.code == "person.inactive"
    with pytest.raises(Forbidden):
        await harness.services.persons.signed_in(SignedIn(TENANT, account("eve")))


async def test_a_callers_word_is_weak(harness: ApprovalHarness) -> None:
    assert (await acting(harness, identity("bob", source="vouched"))).assurance == "client_asserted"


async def test_claims_count_for_the_groups_and_issuers_that_the_directory_names(harness: ApprovalHarness) -> None:
    harness.directories.set(claims={account("x").issuer: frozenset({"claims"}), "https://other": frozenset({"red"})})
    who = await acting(harness, identity("dan", groups=("claims", "red", "Claims")))
    assert who.claimed == frozenset({"claims"})
    harness.directories.set()
    assert (await acting(harness, identity("dan", groups=("claims",)))).claimed == frozenset()


async def test_roles_follow_groups(harness: ApprovalHarness) -> None:
    assert (await acting(harness, identity("oz"))).roles == frozenset({"operate"})
    assert (await acting(harness, identity("ada"))).roles == frozenset({"audit"})
    assert (await acting(harness, identity("bob"))).roles == frozenset()
    harness.directories.set(*(replace(m, groups=frozenset()) for m in ALL_MEMBERS if m.id == "h-oz"))
    assert (await acting(harness, identity("oz"))).roles == frozenset()


async def test_signed_in_at_the_console(harness: ApprovalHarness) -> None:
    who = await harness.services.persons.signed_in(
        SignedIn(TENANT, account("new"), "New Person", ("claims",), 9, "passkey")
    )
    assert (who.name, who.surface, who.assurance, who.claimed) == ("New Person", "console", "passkey", frozenset())
    harness.directories.set(*ALL_MEMBERS, member("new", "red"))
    who = await harness.services.persons.signed_in(SignedIn(TENANT, account("new"), "Somebody Else"))
    assert who.name == "New"  # the directory's word stands
